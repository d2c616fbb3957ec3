"""Programs for chips that are not there: traced here, compiled where libtpu is."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import tiny_config

from jnf_jax.configs import priors
from jnf_jax.data import polymnist
from jnf_jax.experiments import pods
from jnf_jax.experiments.config_files import load_config
from jnf_jax.runtime import parallel
from jnf_jax.runtime.program_costs import count_flops

ROOT = Path(__file__).parents[2]
V5E = pods.CHIPS["TPU v5 lite"]
ONE = parallel.mesh_over(jax.devices()[:1])


def test_the_bound_is_of_what_takes_longest():
    # An all-reduce of G bytes over n chips sends 2 G (n - 1) / n from each.
    sent = {"all-reduce": (1, 800), "reduce-scatter": (2, 400)}
    seconds = (2 * 800 + 400) * 7 / 8 / V5E.sent
    assert pods.bound(V5E, 64, 0, 0, sent, 8) == pytest.approx(64 / seconds)
    flops = int(8 * V5E.flops)  # a second of all chips
    assert pods.bound(V5E, 64, flops, 0, sent, 8) == pytest.approx(64)
    moved = int(2 * V5E.moved)
    assert pods.bound(V5E, 64, flops, moved, sent, 8) == pytest.approx(32)
    assert pods.bound(None, 64, flops, moved, sent, 8) is None


def test_the_table_says_that_nothing_was_run():
    plan = pods.Plan(
        name="joint", chip="TPU v5 lite", num_chips=8, batch_size=64,
        arguments=2**20, temporary=2**19, peak=160_000_000, moved=2**20,
        gradients=2**20, collectives={"all-reduce": (1, 2**20)}, flops=2_000_000_000,
        samples_per_second=1e6,
    )  # fmt: skip
    most = plan._replace(batch_size=8_000, peak=15_200_000_000)
    told = pods.table(plan, most)
    assert "stage joint on 8 x TPU v5 lite, batch 64: compiled, not run" in told
    assert re.search(r"memory of a chip +152.59 MiB, 1.0% of what it has", told)
    assert re.search(r"all-reduce +1.00 MiB in 1 of them", told)
    assert re.search(r"FLOPs of a step +2.000 G, all chips together", told)
    assert re.search(r"largest batch +8,000, 1,000 a chip, .* 95.0% of what", told)
    assert pods.table(plan._replace(name="draw")).startswith("a draw on 8 x")


@pytest.mark.parametrize("fixed", [0, 1e6, 9e9])
@pytest.mark.parametrize("each", [3_000, 2.5e6, 6e8])
def test_the_largest_batch_is_found_in_few_compilations(fixed, each):
    tried = []

    def peak_of(size):
        tried.append(size)
        used = fixed + each * size
        # The compiler finds some room where it gets tight, up to where it gives up.
        used = used if used < 12e9 else 12e9 + (used - 12e9) / 2
        return used if used < 1.7e10 else np.inf

    found = pods.search(peak_of, 8, fixed + 8 * each, V5E.memory)
    assert len(tried) <= pods.MOST_TRIED
    assert found in (8, *tried) and peak_of(found) <= V5E.memory
    more = int(found * (1 + pods.GOOD_ENOUGH)) + 1
    assert peak_of(found) > 15 / 16 * V5E.memory or peak_of(more) > V5E.memory


def test_what_does_not_fit_is_told():
    first = pods.Plan(
        *("joint", "TPU v5 lite", 8, 64, 0, 0, int(V5E.memory) + 1, 0, 0, {}, 0, None)
    )
    with pytest.raises(pods.DoesNotFit, match="'joint' needs 16,000,000,001 bytes"):
        pods.largest(pods.Program("joint", 64, 0, None), [], first)


def energetic(num_steps):
    options = dict(hidden_sizes=(8,), num_steps=num_steps)
    return pods.open_without_data(priors.energy_from(tiny_config(), 0, **options))


def test_a_step_of_langevin_costs_what_its_formula_says():
    def joint(num_steps):
        (program,) = pods.programs(energetic(num_steps), "joint", ONE)
        return count_flops(program.trace(16).jaxpr)

    # f is an MLP of 4, 8 and 1 units. Forward each of 16 chains is multiplied by both
    # matrices, and on the way back to z by the first; ∂f/∂(hidden units) is the second
    # for every chain, and computed once.
    forward, back = 2 * 16 * (4 * 8 + 8 * 1), 2 * 16 * 4 * 8 + 2 * 8 * 1
    assert joint(9) - joint(4) == (9 - 4) * (forward + back)


@pytest.fixture(scope="module")
def traced():
    """{name: (program, its trace)} of later stages and draws, as for a GPU."""
    amortised = tiny_config(stages="joint,subsets", subset_posterior__name="amortised")
    with amortised.unlocked():
        amortised.subsets = dict(amortised.unimodal)
        del amortised.unimodal
    chains = priors.fitted_afterwards(tiny_config(), "maf", hidden_sizes=(8,))
    chains, amortised = (
        pods.programs(pods.open_without_data(config), "all", ONE, "gpu")
        for config in (chains, amortised)
    )
    assert [p.name for p in chains] == ["joint", "unimodal", "prior", "draw"]
    assert [p.name for p in amortised] == ["joint", "subsets", "draw"]
    return {p.name: (p, p.trace(32)) for p in (*amortised[1:], *chains)}


def test_later_stages_and_draws_are_traced_on_shapes(traced):
    for name, (program, one) in traced.items():
        assert program.name == name
        assert count_flops(one.jaxpr, program.loop_steps) > 0
    program, one = traced["unimodal"]
    # What is done for every datum is done twice for twice as many.
    twice = count_flops(program.trace(64).jaxpr)
    assert twice == 2 * count_flops(one.jaxpr)
    chains, one = traced["draw"]
    with pytest.raises(ValueError, match="`while_loop` has products"):
        count_flops(one.jaxpr)
    assert chains.loop_steps == 5  # the mean of 1 to 9
    first, second, third = (count_flops(one.jaxpr, n) for n in (1, 2, 3))
    assert third - second == second - first > 0


def test_every_program_is_lowered_for_cuda(traced):
    called = {}
    for name, (_, one) in traced.items():
        text = one.lower(lowering_platforms=("cuda",)).as_text()
        called[name] = set(re.findall(r"custom_call @(\w+)", text))
    assert {"cusolver_potrf_ffi"} <= called["draw"]  # whitening of chains
    # Neither LAPACK nor a callback to the host is waited for.
    assert all(name.startswith("cu") for names in called.values() for name in names)


def test_a_stage_of_another_name_is_refused():
    setup = pods.open_without_data(priors.fitted_afterwards(tiny_config(), "gmm"))
    known = "'joint', 'unimodal', 'draw', 'all'"  # EM has no step
    with pytest.raises(ValueError, match=f"`--stage` is 'prior', expected.*{known}"):
        pods.programs(setup, "prior", ONE)


def test_shapes_of_polymnist_need_no_files(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/nowhere")
    blank = polymnist.blank(polymnist.Settings(num_modalities=2))
    sizes = {name: split.size for name, split in blank.splits.items()}
    assert sizes == {"train": 54_000, "validation": 6_000, "test": 10_000}
    arrays, rows = blank.splits["train"].arrays, np.arange(2)
    views = jax.eval_shape(blank.fetch, arrays, rows)
    assert {m: x.shape[1:] for m, x in views.items()} == blank.shapes
    streamed = load_config("polymnist/jnf")
    streamed.data.placement = "stream"
    with pytest.raises(ValueError, match="`data.placement` is 'stream', expected"):
        pods.open_without_data(streamed)


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
