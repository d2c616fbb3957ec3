"""How a step's time grows: with batch, modalities, latent, chains, seeds, devices.

    python -m benchmarks.scaling --out scaling.json --plot scaling.png

Milliseconds of one joint step (PolyMNIST networks, latent 64, three modalities, batch
64, unless varied), of a chain transition on a subset of two, of one step of several
seeds under vmap beside as many single ones, and of a step over virtual CPU devices,
which share the same cores: overhead only. Each is the median of five (devices: of three
processes), taken in turn with the others of its sweep. Peak memory is the process's
high-water mark, or the device's where it tells.
"""

import dataclasses
import functools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import measuring

BASE = {"batch": 64, "modalities": 3, "latent": 64}
SWEEPS = {
    "batch": (16, 32, 64, 128, 256),
    "modalities": (2, 3, 4, 5),
    "latent": (16, 64, 256, 512),
}
LARGE_BATCHES = (1_024, 4_096)
"""An accelerator is not full with less."""
ROUNDS = 5
CHAINS, SEEDS, DEVICES = (16, 64, 256, 1_024), (1, 2, 4), (1, 2, 4)


def main() -> None:
    """One sweep after another; each device count in a process of its own."""
    flags = measuring.read_flags(__doc__, more=_add_flags)
    import jax

    from benchmarks import cases

    if flags.devices_of_child:
        step = timed_step(flags.small, mesh=True, **BASE)
        print(json.dumps(measuring.times_in_turn({0: step}, ROUNDS)[0]))
        return
    record = {"base": BASE, "unit": "milliseconds"}
    for name, values in SWEEPS.items():
        values = values[:2] if flags.small else values
        if name == "batch" and jax.default_backend() != "cpu":
            values += LARGE_BATCHES
        steps = {str(v): timed_step(flags.small, **BASE | {name: v}) for v in values}
        record[name] = measuring.times_in_turn(steps, ROUNDS)
    setup = cases.open_case("digits", size=8_192, small=flags.small)
    chains = CHAINS[:2] if flags.small else CHAINS
    transitions = {str(n): timed_transition(setup, n) for n in chains}
    record["chains"] = measuring.times_in_turn(transitions, ROUNDS)
    record["seeds"] = seeds_milliseconds(flags.small)
    record["share_of_matmul_peak"] = shares(record, flags.small)
    devices = DEVICES[:2] if flags.small else DEVICES
    children = {
        str(n): functools.partial(on_virtual_devices, flags, n) for n in devices
    }
    record["virtual_devices"] = measuring.times_in_turn(
        children, 1 if flags.small else 3
    )
    record["peak_memory_mib"] = peak_memory()
    record = measuring.write_record(flags, "scaling", record)
    if flags.plot:
        plot(record, flags.plot)


def shares(record: dict, small: bool) -> dict[str, dict[str, float]]:
    """Useful operations a second over those of a large matrix product.

    By batch, and by the number of seeds under vmap.
    """
    from benchmarks import cases

    setup = cases.open_case(
        "polymnist", size=16, small=small, num_modalities=BASE["modalities"],
        latent_dim=BASE["latent"],
    )  # fmt: skip
    peak = 1e6 * measuring.matmul_peak()  # operations a millisecond

    def work(batch_size: int) -> float:
        return cases.count_multiplications(setup, "joint", batch_size) / peak

    one = work(BASE["batch"])
    return {
        "batch": {b: work(int(b)) / ms for b, ms in record["batch"].items()},
        "seeds": {n: int(n) * one / ms["vmap"] for n, ms in record["seeds"].items()},
    }


def _add_flags(parser) -> None:
    parser.add_argument("--plot", type=Path, help="write a panel a sweep to this PNG")
    # Set by this program for the processes that it starts itself.
    parser.add_argument("--devices-of-child", action="store_true", help="internal")


def _joint_step(small: bool, batch: int, modalities: int, latent: int, mesh=None):
    """(step, init, arguments after the state) of a joint stage."""
    import jax
    import jax.numpy as jnp

    from benchmarks import cases
    from jnf_jax.experiments.stages import bind_stage
    from jnf_jax.training import train_step
    from jnf_jax.training.optimizers import make_optimizer

    setup = cases.open_case(
        "polymnist", size=2 * batch, small=small, num_modalities=modalities,
        latent_dim=latent,
    )  # fmt: skip
    stage = bind_stage(setup.method.stages[0], setup.dataset, {})
    settings = dataclasses.replace(
        setup.experiment.training["joint"], num_steps=1_000_000, batch_size=batch,
        select="last", schedule="constant",
    )  # fmt: skip
    optimizer = make_optimizer(settings, 100)
    step = train_step.make_step(stage, optimizer, settings, mesh)
    init = functools.partial(
        train_step.init_state, stage=stage, optimizer=optimizer, settings=settings
    )
    arrays = jax.tree.map(jnp.asarray, stage.train_arrays)
    return step, init, (None, arrays, jnp.arange(batch), jax.random.key(1))


def _timed(program, state, arguments) -> Callable[[], float]:
    """Milliseconds of a call on the state that the one before it returned."""
    import jax

    at = [jax.block_until_ready(program(state, *arguments))[0]]

    def call() -> float:
        begin = time.perf_counter()
        at[0], _ = jax.block_until_ready(program(at[0], *arguments))
        return 1e3 * (time.perf_counter() - begin)

    return call


def timed_step(small: bool, mesh: bool = False, **sizes: int) -> Callable[[], float]:
    """A joint step, compiled as the trainer's; with ``mesh`` over all devices."""
    import jax

    from jnf_jax.runtime import parallel
    from jnf_jax.training.compiling import compiler_options

    mesh = parallel.make_mesh() if mesh else None
    step, init, arguments = _joint_step(small, mesh=mesh, **sizes)
    whole = parallel.replicated(mesh)
    program = jax.jit(
        step,
        donate_argnums=0,
        out_shardings=whole,
        compiler_options=compiler_options(jax.default_backend()),
    )
    state = jax.jit(init, out_shardings=whole)(jax.random.key(0))
    return _timed(program, state, jax.device_put(arguments, whole))


def seeds_milliseconds(small: bool) -> dict[str, dict[str, float]]:
    """One step of several seeds: under vmap, and one after the other."""
    import jax

    from jnf_jax.training.compiling import compiler_options

    step, init, arguments = _joint_step(small, **BASE)
    many = jax.jit(
        jax.vmap(step, (0, None, None, None, None)),
        donate_argnums=0,
        compiler_options=compiler_options(jax.default_backend()),
    )
    seeds = SEEDS[:2] if small else SEEDS
    keys = {n: jax.random.split(jax.random.key(0), n) for n in seeds}
    works = {
        n: _timed(many, jax.jit(jax.vmap(init))(keys[n]), arguments) for n in seeds
    }
    found = measuring.times_in_turn(works | {0: timed_step(small, **BASE)}, ROUNDS)
    return {str(n): {"vmap": found[n], "sequential": n * found[0]} for n in seeds}


def timed_transition(setup, num_data: int) -> Callable[[], float]:
    """One transition of dynamic HMC of one chain for each of ``num_data`` data."""
    import jax

    transitions = 20
    inference = dataclasses.replace(
        setup.method.inference,
        chains=dataclasses.replace(
            setup.experiment.sampler, num_transitions=transitions
        ),
    )
    key = jax.random.key(0)
    params = {s.name: jax.jit(s.init)(key) for s in setup.method.stages}
    views = setup.dataset.fetch(
        {m: a[:num_data] for m, a in setup.dataset.splits["train"].arrays.items()},
        slice(None),
    )
    draw = functools.partial(
        inference.infer, params, key, views, ("m0", "m1"), jax.numpy.float32(0.01)
    )
    measuring.seconds_of(draw)
    return lambda: measuring.seconds_of(draw) * 1e3 / transitions


def on_virtual_devices(flags, num: int) -> float:
    """A step's milliseconds in a process that sees ``num`` CPU devices."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.scaling", "--devices-of-child"),
            *("--threads", str(flags.threads)),
            *(["--small"] if flags.small else []),
        ],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={num}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the run on {num} virtual devices failed:\n{done.stderr}")
    return float(done.stdout.splitlines()[-1])


def peak_memory() -> float:
    """MiB."""
    import jax

    told = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in told:
        return told["peak_bytes_in_use"] / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plot(record: dict, path: Path) -> None:
    """A panel for each sweep, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    names = (*SWEEPS, "chains", "seeds", "virtual_devices")
    figure, grid = plt.subplots(2, 3, figsize=(9, 5), layout="constrained")
    for name, axes in zip(names, grid.flat, strict=True):
        points = record[name]
        first = next(iter(points.values()))
        for label in first if isinstance(first, dict) else ("",):
            values = [v[label] if label else v for v in points.values()]
            axes.loglog([int(n) for n in points], values, "o-", label=label)
        if isinstance(first, dict):
            axes.legend()
        unit = "ms a transition" if name == "chains" else "ms a step"
        axes.set(xlabel=name.replace("_", " "), ylabel=unit)
        axes.set_xticks([int(n) for n in points], list(points))
        axes.xaxis.set_minor_locator(NullLocator())
        low, high = axes.dataLim.intervaly
        axes.set_ylim(0.5 * low, 2 * high)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    figure.suptitle(record["hardware"], fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
