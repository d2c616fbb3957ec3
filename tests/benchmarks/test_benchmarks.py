"""Each benchmark runs, small, in a process of its own, and writes what it promises."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from benchmarks import cases, measuring, operations, scaling, startup, train_step
from jnf_jax.experiments import config_files, records
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.options import override

ROOT = Path(__file__).parents[2]


def run(name, tmp_path, *arguments):
    out = tmp_path / f"{name}.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", f"benchmarks.{name}", "--small"),
            *("--out", str(out), *arguments),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, json.loads(out.read_text()) if out.exists() else None


ANSWERS = """#!{python}
import json, sys
print(json.dumps({{"multivae": "0", "torch": "0", "threads": 2}}), flush=True)
for line in sys.stdin:
    answer = {{"seconds": 0.5, "steps": 4, "loss": 0.0, "all": 2.0}}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def rival(tmp_path):
    """Flags of a rival that answers every request at once, in MultiVae's stead."""
    path = tmp_path / "python"
    path.write_text(ANSWERS.format(python=sys.executable))
    path.chmod(0o755)
    return "--vs", "multivae", "--rival-python", str(path)


def numbers(value):
    """Every number in a record."""
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from numbers(entry)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("subset_sampling", {"draws_per_s", "share_of_matmul_peak"}),
        ("startup", {"cold", "warm"}),
        ("langevin", {"seconds"}),
        ("operations", {"polymnist.unimodal", "draws"}),
        ("memory", {"ratios", "mnist_svhn", "polymnist"}),
        ("scaling", {"batch", "modalities", "chains", "seeds", "virtual_devices"}),
    ],
)
def test_benchmark_writes_a_record(name, keys, tmp_path):
    done, record = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert record["hardware"] and record["threads"] == 2 and keys <= set(record)
    assert all(math.isfinite(number) and number >= 0 for number in numbers(record))


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (
            "train_step",
            {f"{c}.{s}" for c in ("mnist_svhn", "polymnist") for s in train_step.STAGES}
            | {f"mnist_svhn.{method}" for method in cases.PEERS},
        ),
        (
            "evaluate",
            {
                "amortised_coherence_protocol",
                "coherence_protocol",
                "coherence_protocol_without_rhat",
                "draws_at_1000_tuples",
                "protocol_at_1000_tuples",
                "extrapolated_to_10000_tuples",
            },
        ),
    ],
)
def test_ratios_are_ours_over_theirs(name, keys, tmp_path, rival):
    done, record = run(name, tmp_path, *rival)
    assert done.returncode == 0, done.stderr
    assert set(record["ratios"]) == keys and record["rival"]["multivae"] == "0"
    if name == "evaluate":
        assert record["theirs"] == 2.0
        ratio = record["theirs"] / record["ours"]
        assert record["ratios"]["coherence_protocol"] == pytest.approx(ratio)
    for key, found in record.get("rates", {}).items():
        theirs = 4 * 8 / 0.5  # four steps of eight
        assert found["theirs"] == theirs
        assert record["ratios"][key] == pytest.approx(found["ours"] / theirs)


@pytest.mark.benchmark
def test_imputation_is_judged_beside_its_rivals(tmp_path):
    done, record = run("imputation", tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(record["tables"]) == {"linear", "counts"} and record["seeds"] == [0]
    assert all(math.isfinite(number) for number in numbers(record))
    of_linear = record["tables"]["linear"]["random.3"]
    assert {"ours", "exact", "ridge", "knn", "iterative", "ppca"} <= set(of_linear)


def test_programs_are_listed_with_their_seconds():
    script = """
import jax, numpy as np
def twice(x): return jax.jit(half)(x) * 4
def half(x): return x / 2
for size in (2, 3): jax.jit(twice)(np.ones(size, np.float32))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "JAX_LOG_COMPILES": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = startup.programs_of(done.stderr)
    assert {*found} == {"twice"} and found["twice"]["times"] == 2  # half is a part
    assert min(found["twice"].values()) > 0
    logged = """Finished tracing f for jit in 1.5e-05 sec
Finished tracing + transforming g for pjit in 0.25 sec
Finished jaxpr to MLIR module conversion jit(f) in 0.5 sec
Finished XLA compilation of jit(f) in 2.0 sec
Finished tracing g for jit in 1.0 sec
Finished jaxpr to MLIR module conversion jit(g) in 0.5 sec
Finished XLA compilation of jit(g) in 4.0 sec
"""
    assert startup.programs_of(logged) == {
        "g": {"times": 1, "trace": 1.25, "lower": 0.5, "compile": 4.0},
        "f": {"times": 1, "trace": 1.5e-05, "lower": 0.5, "compile": 2.0},
    }
    assert [*startup.programs_of(logged)] == ["g", "f"]


@pytest.mark.parametrize("config", startup.CONFIGS)
def test_few_steps_are_a_config(config):
    loaded = config_files.load_config(config)
    pairs = [option.removeprefix("--config.") for option in startup.CONFIGS[config]]
    override(loaded, {k: int(v) for k, _, v in (p.partition("=") for p in pairs)})
    assert {stage.num_steps for stage in resolve(loaded).training.values()} == {4}


def test_langevin_is_on_record_at_its_full_size_within_three_seconds():
    record = json.loads((ROOT / "benchmarks/records/langevin.json").read_text())
    size = ("num_draws", "num_steps", "latent_size", "hidden_sizes", "threads")
    assert [record[key] for key in size] == [10_000, 60, 64, [200, 200], 2]
    assert record["hardware"].startswith("2 cores") and record["seconds"] <= 3


def test_a_picture_of_the_record(tmp_path):
    record = json.loads((ROOT / "benchmarks/records/scaling.json").read_text())
    scaling.plot(record, tmp_path / "scaling.png")
    with Image.open(tmp_path / "scaling.png") as picture:
        assert picture.size == (1080, 600)


def test_medians_are_of_rounds_in_turn():
    said = []

    def work(name, values):
        return lambda: said.append(name) or values[said.count(name) - 1]

    works = {"a": work("a", [3.0, 1.0, 2.0]), "b": work("b", [5.0, 5.0, 9.0])}
    assert measuring.times_in_turn(works, 3) == {"a": 2.0, "b": 5.0}
    assert said == ["a", "b"] * 3


def test_a_rival_that_is_not_there_is_told(tmp_path):
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    broken.chmod(0o755)
    done, record = run(
        "train_step", tmp_path, "--vs", "multivae", "--rival-python", str(broken)
    )
    assert done.returncode == 1 and record is None
    assert "MultiVae cannot be imported by" in done.stderr


@pytest.mark.benchmark
def test_accelerator_script_trains_and_skips_what_is_done(tmp_path):
    """The benchmarks are parts that lie there already: tests of their own run them."""
    parts = [
        "train_step",
        "scaling",
        "subset_sampling",
        "evaluate",
        "langevin",
        "operations",
        "startup",
    ]
    for part in parts:
        (tmp_path / f"{part}.json").write_text("{}")
    command = [ROOT / "benchmarks" / "accelerator.sh", tmp_path, "--small"]
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for num_done in (len(parts), len(parts) + 1):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("done before") == num_done
    record = records.read(tmp_path / "polymnist.json")
    assert record["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("name", "stats", "kind"),
    [
        ("dot.17", [("hlo_op", "dot.17")], "dot"),
        ("ynn_fusion.3", [("hlo_op", "ynn_fusion.3")], "ynn"),
        ("add_maximum_fusion", [("hlo_op", "x")], "add_maximum"),
        ("while.2", [("hlo_op", "while.2")], None),
        ("ThunkExecutor::Execute", [], None),
    ],
)
def test_kinds_of_operations_are_those_of_xla(name, stats, kind):
    assert operations.kind_of(SimpleNamespace(name=name, stats=stats)) == kind


def test_operations_are_counted_layer_by_layer():
    """MNIST–SVHN, one datum: products by hand, two operations each."""
    setup = cases.open_case("mnist_svhn", size=16)
    latent, last = 20, 4 * 4 * 128
    mlp = [784 * 512, 512 * 512]
    convolutions = [16**2 * 16 * 3 * 32, 8**2 * 16 * 32 * 64, 4**2 * 16 * 64 * 128]
    encoders = sum(mlp) + 512 * latent + sum(convolutions) + last * latent
    decoders = latent * 512 + sum(mlp) + latent * last + sum(convolutions)
    body = 2 * latent * 512 + 512 * 512 + 512 * 2 * latent
    # Nobody needs the gradient in the pixels.
    expected = 2 * (3 * (encoders + decoders + body) - mlp[0] - convolutions[0])
    assert cases.count_multiplications(setup, "joint", 1) == expected
