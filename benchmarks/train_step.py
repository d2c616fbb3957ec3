"""Samples/s of both stages of JNF and of its peers, ours and MultiVae's, in turn.

    python -m benchmarks.train_step --vs multivae --rival-python DIR/bin/python \\
        --out train_step.json

MNIST–SVHN: latent 20, batch 128. PolyMNIST: convolutional, latent 512, batch 256. Both
sides: float32, one z a datum, the same networks, Adam 1e-3, pixels in memory. Ours is
the trainer's own step and way of calling it, with the loss read one step behind; theirs
is the `train_step` of MultiVae's trainer, one epoch of its loop over a DataLoader.

Peers (`cases.PEERS`) have the networks of MNIST–SVHN and its batch; what else they are
is in `cases.of_method`. MMVAE+ has two trunks a modality on both sides.

`loops`: milliseconds of a step inside a compiled loop of four and one step a call, with
convolutions and without, beside what the trainer chooses on this backend.
"""

import contextlib
import dataclasses
import tempfile
import time
from pathlib import Path

from benchmarks import measuring

BATCH_SIZES = {"mnist_svhn": 128, "polymnist": 256}
STAGES = ("joint", "unimodal")


def main() -> None:
    """One pair of rates after another for every case and stage."""
    flags = measuring.read_flags(__doc__, rival=True)
    import jax

    from benchmarks import cases

    steps, num_pairs = (2, 1) if flags.small else (8, 3)
    if jax.default_backend() != "cpu":
        steps *= 25  # four calls of the trainer's, or more
    record = {"rates": {}, "ratios": {}}
    with contextlib.ExitStack() as stack:
        rival = None
        if flags.vs:
            rival = stack.enter_context(
                measuring.Rival(flags.rival_python, flags.threads)
            )
            record["rival"] = rival.versions
        record["loops"] = time_loops(flags.small)
        peak = measuring.matmul_peak()
        record["matmul_peak_gflops"] = peak
        peers = [("mnist_svhn", method) for method in cases.PEERS]
        for name, method in [*((name, "jnf") for name in BATCH_SIZES), *peers]:
            batch_size = 8 if flags.small else BATCH_SIZES[name]
            setup = cases.open_case(
                name, size=8 * batch_size, small=flags.small, method=method
            )
            if rival:
                open_theirs(rival, setup, batch_size)
            frozen = {}
            for stage in STAGES if method == "jnf" else ("joint",):
                rate, frozen[stage] = our_rate(setup, stage, batch_size, steps, frozen)
                theirs = rival and their_rate(rival, stage, batch_size)
                found = measuring.time_pairs(rate, theirs, num_pairs)
                key = f"{name}.{stage if method == 'jnf' else method}"
                if rival:
                    record["ratios"][key] = found.pop("ratio")
                found = {"unit": "samples/s", **found, "batch_size": batch_size}
                if method == "jnf":
                    work = cases.count_multiplications(setup, stage, batch_size)
                    gflops = work / batch_size * found["ours"] * 1e-9
                    found["gflop_a_step"] = work * 1e-9
                    found["share_of_matmul_peak"] = gflops / peak
                record["rates"][key] = found
                print_line(key, found, record["ratios"].get(key))
    measuring.write_record(flags, "train_step", record)


def print_line(key: str, found: dict, ratio: float | None) -> None:
    """Ours, the share of the machine's matmul peak where known, theirs, the ratio."""
    text = f"{key:22} {found['ours']:8.0f} samples/s"
    if (share := found.get("share_of_matmul_peak")) is not None:
        text += f", {share:.0%} of the matmul peak"
    if ratio is not None:
        text += f"; MultiVae {found['theirs']:.0f}, ratio {ratio:.2f}"
    print(text, flush=True)


def prepare(setup, stage_name: str, batch_size: int, params: dict):
    """The stage, its settings, the trainer's ``advance``, and a first state."""
    from jnf_jax.experiments.stages import bind_stage
    from jnf_jax.training import feed, stage_run

    (method_stage,) = (s for s in setup.method.stages if s.name == stage_name)
    settings = dataclasses.replace(
        setup.experiment.training[stage_name],
        num_steps=1_000_000,
        batch_size=batch_size,
    )
    stage = bind_stage(method_stage, setup.dataset, params, settings=settings)
    run = stage_run.Run(
        stage, settings, Path(tempfile.mkdtemp()), {}, None, lambda record: None,
        stage_run.compile_programs(stage, settings, None),
    )  # fmt: skip
    state = stage_run.new_state(run)
    rows = feed.open_feed(stage, settings, None, 0, None)
    return stage, settings, stage_run.make_advance(run, rows), state


def our_rate(setup, stage_name: str, batch_size: int, steps: int, params: dict):
    """(a function that trains ``steps`` steps and returns samples/s, parameters)."""
    import jax

    from jnf_jax.training import trainer

    stage, settings, advance, state = prepare(setup, stage_name, batch_size, params)
    plan = trainer.make_plan(stage, settings, jax.default_backend())
    count = min(plan.steps_per_dispatch, steps)
    at = {"state": state, "step": 0}

    def rate() -> float:
        begin, running, done = time.perf_counter(), None, 0
        while done < steps:
            at["state"], metrics = advance(at["state"], at["step"], count)
            at["step"] += count
            done += count
            if running is not None:
                float(running.ravel()[-1])
            running = metrics["loss"]
        jax.block_until_ready(at["state"])
        return done * batch_size / (time.perf_counter() - begin)

    return rate, jax.jit(stage.init)(jax.random.key(0))


def time_loops(small: bool) -> dict:
    """Milliseconds of a joint MNIST–SVHN step, looped and not; small batches."""
    import jax

    from benchmarks import cases
    from jnf_jax.networks.build import NetworkSettings
    from jnf_jax.training.trainer import choose_steps_per_dispatch

    batch_size, found = 8 if small else 32, {}
    mlp = NetworkSettings("mlp", hidden_sizes=(8,) if small else (512, 512))
    for name, networks in (
        ("convolutional", {}),
        ("dense", {"networks": {"default": mlp}}),
    ):
        setup = cases.open_case("mnist_svhn", size=256, small=small, **networks)
        stage, _, advance, state = prepare(setup, "joint", batch_size, {})
        times = {}
        for label, count in (("looped", 4), ("unlooped", 1)):
            state, _ = advance(state, 0, count)
            jax.block_until_ready(state)
            begin = time.perf_counter()
            for _ in range(8 // count):
                state, _ = advance(state, 0, count)
            jax.block_until_ready(state)
            times[label] = (time.perf_counter() - begin) / 8 * 1e3
        found[name] = times | {
            "chosen_steps_per_dispatch": choose_steps_per_dispatch(
                jax.default_backend(), name == "convolutional"
            )
        }
    return found


def open_theirs(rival: measuring.Rival, setup, batch_size: int) -> None:
    """Hands the networks and the training tuples to the rival."""
    import numpy as np

    from benchmarks import cases

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tuples.npz"
        split = setup.dataset.splits["train"]
        np.savez(path, **split.arrays, labels=split.labels)
        rival.ask(
            "open",
            model=cases.describe_networks(setup),
            data=str(path),
            batch_size=batch_size,
        )


def their_rate(rival: measuring.Rival, stage: str, batch_size: int):
    """A function that lets MultiVae train for an epoch and returns samples/s."""

    def rate() -> float:
        answer = rival.ask("train", stage=stage)
        return answer["steps"] * batch_size / answer["seconds"]

    return rate


if __name__ == "__main__":
    main()
