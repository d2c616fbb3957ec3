"""Draws and effective draws a second from a two-modality subset, ours and MultiVae's.

    python -m benchmarks.subset_sampling --vs multivae \\
        --rival-python DIR/bin/python --out subset_sampling.json

The networks of digits/jnf_paper: three modalities, latent 16, two given.
`draws_per_s`: one z a datum after 100 transitions of 11 gradients, encoders and starts
included, each side at its best batch; both call what their users call (`infer`,
`encode`), in turn. Chains run once a side. "amortised" are draws of the one flow of
digits/jnf, with the same encoders and no chain.

`gflop_a_draw` are the multiplications of the experts' flows in those gradients,
`share_of_matmul_peak` what the best batch makes of the machine.

`ess_per_s`: four chains of 1,000 transitions for each of 16 data, from the same starts,
on one target: that of a model which MultiVae's loop trained, whose experts and flows
are read into ours. Ours is dynamic HMC with an adapted step size (its adaptation is in
the time), theirs MultiVae's rule at its defaults, ε 0.01 and ten leapfrog steps. Bulk
ESS of z and z², the least over dimensions, summed over data.
"""

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import measuring

SUBSET = ("m0", "m1")
GRADIENTS = 11
ONE_FLOW = "digits/jnf"


def main() -> None:
    """Draws first, then chains."""
    flags = measuring.read_flags(__doc__, rival=True)
    from benchmarks import cases, train_step

    sizes = (8, 16) if flags.small else (100, 256, 1_000)
    setup = open_setup(flags.small, size=256 if flags.small else 2_048)
    transitions = 5 if flags.small else 100
    record = {"transitions": transitions, "gradients_a_transition": GRADIENTS}
    # Forward, and backward towards the latent alone.
    work = 2 * cases.count_flow(setup) * len(SUBSET) * GRADIENTS * transitions
    record["gflop_a_draw"] = work * 1e-9
    record["ratios"] = {}
    with contextlib.ExitStack() as stack:
        rival = None
        if flags.vs:
            rival = stack.enter_context(
                measuring.Rival(flags.rival_python, flags.threads)
            )
            record["rival"] = rival.versions
            train_step.open_theirs(rival, setup, 64)
            for stage, epochs in (("joint", 4), ("unimodal", 4)):
                for _ in range(1 if flags.small else epochs):
                    rival.ask("train", stage=stage)
        one_flow = open_setup(flags.small, setup.dataset.splits["train"].size, ONE_FLOW)
        record["draws_per_s"] = draws(setup, one_flow, rival, sizes, transitions)
        peak = record["matmul_peak_gflops"] = measuring.matmul_peak()
        best = max(record["draws_per_s"]["ours"].values())
        record["share_of_matmul_peak"] = best * record["gflop_a_draw"] / peak
        if rival:
            theirs = max(record["draws_per_s"]["theirs"].values())
            amortised = max(record["draws_per_s"]["amortised"].values())
            record["ratios"]["draws_per_s"] = best / theirs
            record["ratios"]["amortised_draws_per_s"] = amortised / theirs
            shape = (3, 4, 20) if flags.small else (16, 4, 1_000)
            record["ess_per_s"] = chains(setup, rival, *shape)
            record["ratios"]["ess_per_s"] = record["ess_per_s"]["ratio"]
    measuring.write_record(flags, "subset_sampling", record)


def open_setup(small: bool, size: int, config: str = ""):
    """The digits' networks for ``size`` training tuples."""
    from benchmarks import cases

    return cases.open_case(
        "digits", size=size, small=small, config=config, head_size=0,
        joint_hidden_sizes=(8, 8) if small else (512, 512),
    )  # fmt: skip


def draw_of(setup, num: int, transitions: int) -> Callable:
    """``infer`` for the first ``num`` training tuples; fresh parameters.

    By HMC where subsets are products, by one flow where they are amortised.
    """
    import jax

    inference = setup.method.inference
    if hasattr(inference, "chains"):
        chains = dataclasses.replace(
            setup.experiment.sampler,
            kernel="hmc",
            num_leapfrog=GRADIENTS,
            num_transitions=transitions,
        )
        inference = dataclasses.replace(inference, chains=chains)
    key = jax.random.key(0)
    params = {s.name: jax.jit(s.init)(key) for s in setup.method.stages}
    arrays = setup.dataset.splits["train"].arrays
    views = setup.dataset.fetch(jax.tree.map(lambda a: a[:num], arrays), slice(None))
    step_size = jax.numpy.float32(0.01)
    return functools.partial(inference.infer, params, key, views, SUBSET, step_size)


def draws(setup, one_flow, rival, sizes, transitions: int) -> dict:
    """Draws a second at every batch size, of all sides: medians of three."""
    found = {"ours": {}, "amortised": {}, "theirs": {}}
    for size in sizes:
        works = {}
        for side, of in (("ours", setup), ("amortised", one_flow)):
            draw = draw_of(of, size, transitions)
            measuring.seconds_of(draw)
            works[side] = lambda draw=draw: measuring.seconds_of(draw)
        if rival:
            works["theirs"] = lambda size=size: rival.ask(
                "draw", subset=SUBSET, num=size, transitions=transitions,
                leapfrog=GRADIENTS - 1,
            )["seconds"]  # fmt: skip
        for side, seconds in measuring.times_in_turn(works, 3).items():
            found[side][str(size)] = size / seconds
    return found


def chains(setup, rival, num: int, num_chains: int, transitions: int) -> dict:
    """Effective draws a second of both rules on the rival's trained posterior."""
    import jax
    import numpy as np

    from jnf_jax import sampling

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chains.npz"
        answer = rival.ask(
            "chains", subset=SUBSET, num=num, num_chains=num_chains,
            transitions=transitions, out=str(path),
        )  # fmt: skip
        stored = dict(np.load(path))
    codes, log_density = read_target(stored, setup.experiment.flow.num_blocks)
    start = jax.numpy.asarray(stored["start"])
    over_data = jax.vmap(jax.vmap(log_density), (0, None))(start, codes)
    settings = dataclasses.replace(
        setup.experiment.sampler, num_transitions=transitions
    )

    @jax.jit
    def run(rng_key):
        adapt_key, run_key = jax.random.split(rng_key)
        step_size = sampling.adapt_step_size(
            adapt_key, log_density, codes, start, settings
        )
        return sampling.run_chains(
            run_key, log_density, codes, start, step_size, settings, keep=True
        )

    jax.block_until_ready(run(jax.random.key(0)))
    begin = time.perf_counter()
    _, info, ours = jax.block_until_ready(run(jax.random.key(1)))
    seconds = time.perf_counter() - begin
    result = {
        "largest_difference_of_targets": float(
            np.abs(over_data - stored["log_density"]).max()
        ),
        "our_step_size": float(info.step_size),
        "our_acceptance": float(info.acceptance.mean()),
    }
    for side, drawn, spent in (
        ("ours", ours, seconds),
        ("theirs", jax.numpy.asarray(stored["draws"]), answer["seconds"]),
    ):
        found = sampling.diagnose(drawn)
        least = np.minimum(found.ess, found.ess_squared).min(axis=-1)
        result |= {
            f"{side}_seconds": spent,
            f"{side}_ess_a_datum": float(np.mean(least)),
            f"{side}_rhat_max": measuring.finite(found.rhat_max),
            side: float(np.sum(least)) / spent,
        }
    return result | {"ratio": result["ours"] / result["theirs"]}


def read_target(stored: dict, num_blocks: int):
    """The rival's experts as (codes, log-density), for our kernels.

    log q_m(z) = log N(f(z); μ, σ²) + log|det f'|, f: in each block
    z ← reverse((z − m(z)) e^(−a(z))), (m, a) a masked network; over N(z; 0, I).
    """
    import jax
    import jax.numpy as jnp

    codes = tuple(
        {
            "mean": jnp.asarray(stored[f"{m}/mean"]),
            "log_variance": jnp.asarray(stored[f"{m}/log_variance"]),
        }
        for m in SUBSET
    )
    layers = 1 + max(int(n.split("/")[2]) for n in stored if n.endswith("weight"))
    weights = {n: jnp.asarray(a) for n, a in stored.items() if n.count("/") == 3}

    def log_density(z, codes):
        total = 0.5 * jnp.sum(z**2 + jnp.log(2 * jnp.pi))
        for m, code in zip(SUBSET, codes, strict=True):
            u = z
            for block in range(num_blocks):
                h = u
                for j in range(layers):
                    h = jax.nn.relu(h) if j else h
                    h = h @ weights[f"{m}/{block}/{j}/weight"]
                    h = h + weights[f"{m}/{block}/{j}/bias"]
                shift, log_scale = jnp.split(h, 2)
                u = jnp.flip((u - shift) * jnp.exp(-log_scale))
                total -= log_scale.sum()
            total += jax.scipy.stats.norm.logpdf(
                u, code["mean"], jnp.exp(0.5 * code["log_variance"])
            ).sum()
        return total

    return codes, log_density


if __name__ == "__main__":
    main()
