"""A step is compiled for chips that are not there: where libtpu is, in a process."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_config

from jnf_jax.experiments import pods
from jnf_jax.experiments.experiment import open_experiment

ROOT = Path(__file__).parents[2]
V5E = pods.CHIPS["TPU v5 lite"]


def test_the_bound_is_of_products_or_of_links_whichever_is_slower():
    # An all-reduce of G bytes over n chips sends 2 G (n - 1) / n from each.
    sent = {"all-reduce": (1, 800), "reduce-scatter": (2, 400)}
    seconds = (2 * 800 + 400) * 7 / 8 / V5E.sent
    assert pods.bound(V5E, 64, 0, sent, 8) == pytest.approx(64 / seconds)
    flops = int(8 * V5E.flops)  # a second of all chips
    assert pods.bound(V5E, 64, flops, sent, 8) == pytest.approx(64)
    assert pods.bound(None, 64, flops, sent, 8) is None


def test_the_table_says_that_nothing_was_run():
    plan = pods.Plan(
        stage="joint", chip="TPU v5 lite", num_chips=8, batch_size=64,
        arguments=2**20, temporary=2**19, peak=160_000_000, gradients=2**20,
        collectives={"all-reduce": (1, 2**20)}, flops=2_000_000_000,
        samples_per_second=1e6,
    )  # fmt: skip
    told = pods.table(plan)
    assert "8 x TPU v5 lite, batch 64: compiled, not run" in told
    assert re.search(r"memory of a chip +152.59 MiB, 1.0% of what it has", told)
    assert re.search(r"all-reduce +1.00 MiB in 1 of them", told)
    assert re.search(r"FLOPs of a step +2.000 G, all chips together", told)


def test_a_stage_that_needs_another_is_refused():
    setup = open_experiment(tiny_config())
    with pytest.raises(ValueError, match="`--stage` is 'unimodal', expected one that"):
        pods.plan_stage(setup, "unimodal", [])


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs the extra tpu"
)
@pytest.mark.slow
def test_a_replicated_step_sends_its_gradients_once():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_DIS")}
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "jnf_jax.plan", "--config", "digits/jnf"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = dict(re.findall(r"^ +([\w -]+?)  +([\d,.]+) MiB", done.stdout, flags=re.M))
    assert "all-reduce" in told and "in 1 of them" in done.stdout
    assert not {"all-gather", "reduce-scatter", "all-to-all"} & set(told)
    sent, gradients = float(told["all-reduce"]), float(told["gradients"])
    assert gradients <= sent <= gradients + 1 / 16  # 64 KiB
