"""What training and drawing would need on a TPU topology that is not there.

libtpu compiles for chips that nobody has plugged in. A step is compiled as training
compiles it, and its program is read: memory of a chip, what chips send each other,
FLOPs. Nothing runs, no parameter and no datum is computed: later stages get shapes of
what earlier ones would have learnt. So nothing here is a measurement: the bound says
what is out of reach, not what is reached.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import jax
import ml_collections
import numpy as np

from jnf_jax.data.placement import place
from jnf_jax.data.registry import BLANK, DATASETS
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.experiment import Setup, build_setup
from jnf_jax.experiments.stages import bind_shapes
from jnf_jax.options import among
from jnf_jax.runtime import parallel, switches
from jnf_jax.runtime.program_costs import count_collectives, count_flops
from jnf_jax.training import stage_run

DRAW = "draw"
"""The program that is no stage's: z given all views but one."""

EVERY = "all"


class Chip(NamedTuple):
    """What a chip can do at best, as its maker says; per second and in bytes.

    Attributes:
        flops: Of bfloat16 products, which float32 ones become unless told otherwise.
        memory: Of the chip.
        moved: Bytes to and from its memory.
        sent: Bytes over all its links together.
    """

    flops: float
    memory: float
    moved: float
    sent: float


CHIPS = {
    "TPU v5 lite": Chip(flops=197e12, memory=16e9, moved=819e9, sent=200e9),
}
"""By ``device_kind``; cloud.google.com/tpu/docs/v5e."""


class Program(NamedTuple):
    """What is compiled: one step of a stage, or one draw.

    Attributes:
        name: Of the stage, or ``DRAW``.
        batch_size: The config's.
        gradients: Bytes of the parameters, hence of their gradients; 0 of a draw.
        trace: The program of a global batch size, traced with shapes and shardings.
        loop_steps: Steps of loops whose length chance decides, in the mean.
    """

    name: str
    batch_size: int
    gradients: int
    trace: Callable[[int], Any]
    loop_steps: float | None = None


class Plan(NamedTuple):
    """A compiled program; bytes are of one chip, FLOPs of all together.

    Attributes:
        name: Of the ``Program``.
        arguments: Bytes of state, data and frozen parameters.
        temporary: Bytes that the program needs besides.
        peak: Both, results that take no argument's place, and the program.
        moved: Bytes that must go to and from memory at least: the state of a step, or
            what a draw reads, in, and results out.
        gradients: See ``Program``.
        collectives: See ``count_collectives``.
        flops: Of one step, or of one draw of a batch.
        samples_per_second: See ``bound``; None where the chip is not in ``CHIPS``.
    """

    name: str
    chip: str
    num_chips: int
    batch_size: int
    arguments: int
    temporary: int
    peak: int
    moved: int
    gradients: int
    collectives: dict[str, tuple[int, int]]
    flops: int
    samples_per_second: float | None


def open_without_data(config: ml_collections.ConfigDict) -> Setup:
    """``open_experiment``, with pictures that are black where the set's are not needed.

    Raises:
        ValueError: As there; pictures that are not here shall be read from files.
    """
    switches.check()
    experiment = resolve(config)
    name, settings = experiment.data_name, experiment.data
    if name not in BLANK:
        cache_dir = getattr(settings, "cache_dir", "")
        dataset = DATASETS[name][1](settings)
        return build_setup(experiment, place(dataset, experiment.placement, cache_dir))
    if experiment.placement == "stream":
        raise ValueError(
            f"`data.placement` is 'stream', expected 'device' or 'auto': {name!r} is "
            "not read for a plan, so that no files are written either"
        )
    return build_setup(experiment, BLANK[name](settings))


def topology_devices(name: str) -> list[Any]:
    """The devices of a topology as libtpu names it, "v5e:2x4"; none of them is here.

    Raises:
        ValueError: libtpu is not installed, or knows no such topology.
    """
    from jax.experimental import topologies

    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # this is no TPU machine
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=name)
    except Exception as error:  # libtpu's own kinds differ by version
        raise ValueError(
            f"`--topology` is {name!r}, expected one that libtpu knows, such as "
            f"v5e:2x4, with the extra `tpu` installed: {error}"
        ) from error
    return list(found.devices)


@contextmanager
def _as_on(backend: str) -> Iterator[None]:
    """Whatever chooses by backend chooses for that one, not for this machine's."""
    with mock.patch.object(jax, "default_backend", lambda: backend):
        yield


def programs(
    setup: Setup, name: str, mesh: jax.sharding.Mesh, backend: str = "tpu"
) -> list[Program]:
    """The step of a stage of that name, ``DRAW``, or all of these, ``EVERY``.

    Stages that are fitted in one go, on the host, have no step.

    Raises:
        ValueError: No such stage, or one without a step; a batch that the mesh does not
            divide.
    """
    steps = [s.name for s in setup.method.stages if s.fit is None]
    known = [*steps, DRAW, EVERY]
    if name not in known:
        raise ValueError(f"`--stage` is {name!r}, expected {among(name, known)}")
    wanted = known[:-1] if name == EVERY else [name]
    return [
        draw_program(setup, mesh, backend)
        if one == DRAW
        else step_program(setup, one, mesh, backend)
        for one in wanted
    ]


def step_program(
    setup: Setup, name: str, mesh: jax.sharding.Mesh, backend: str = "tpu"
) -> Program:
    """One step of a stage, as training compiles it on that backend."""
    settings = setup.experiment.training[name]
    parallel.check_batch_size(settings.batch_size, mesh)
    with _as_on(backend):
        params = _params_of(setup)
    (of_method,) = [s for s in setup.method.stages if s.name == name]
    stage = bind_shapes(of_method, setup.dataset, params, settings)

    def trace(batch_size: int) -> Any:
        of_size = dataclasses.replace(settings, batch_size=batch_size)
        with _as_on(backend):
            compiled = stage_run.compile_programs(stage, of_size, mesh)
            key = _shaped(_key(), parallel.replicated(mesh))
            state = jax.eval_shape(compiled.init, key)
            places = parallel.state_sharding(state, mesh, settings.parameters)
            frozen, arrays = _shaped(
                (stage.frozen, stage.train_arrays), parallel.replicated(mesh)
            )
            state = jax.tree.map(_shaped, state, places)
            rows = _rows(stage.train_read, batch_size, mesh)
            return compiled.step.trace(state, frozen, arrays, rows, key)

    own = jax.tree.leaves(params[name])
    gradients = sum(x.size * x.dtype.itemsize for x in own)
    return Program(name, settings.batch_size, gradients, trace)


def draw_program(
    setup: Setup, mesh: jax.sharding.Mesh, backend: str = "tpu"
) -> Program:
    """One z for each of a batch, given all views but the last: the dearest subsets.

    The batch is evaluation's, up to a multiple of the chips; chains, where they run,
    adapt their step first, and their trajectories count with their mean length.
    """
    inference, shapes = setup.method.inference, setup.dataset.shapes
    subset = inference.modalities[:-1]
    whole, split = parallel.replicated(mesh), parallel.batch_sharding(mesh)

    def draw(params: Any, rng_key: jax.Array, views: Any) -> Any:
        return inference.infer(params, rng_key, views, subset)[0]

    def trace(batch_size: int) -> Any:
        views = {
            m: jax.ShapeDtypeStruct((batch_size, *shapes[m]), np.float32)
            for m in subset
        }
        with _as_on(backend):
            params, key = _shaped((_params_of(setup), _key()), whole)
            jitted = jax.jit(draw, out_shardings=split)
            return jitted.trace(params, key, _shaped(views, split))

    size, chips = setup.experiment.evaluation.batch_size, parallel.num_shards(mesh)
    chains, steps = setup.experiment.sampler, None
    if chains.kernel == "dynamic_hmc":
        steps = (chains.min_leapfrog + chains.max_leapfrog) / 2
    return Program(DRAW, -(-size // chips) * chips, 0, trace, steps)


def _key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _params_of(setup: Setup) -> dict[str, Any]:
    """{stage: shapes of its parameters}."""
    return {s.name: jax.eval_shape(s.init, _key()) for s in setup.method.stages}


def _shaped(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    def of(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=sharding)

    return jax.tree.map(of, tree)


def _rows(read: Callable | None, size: int, mesh: jax.sharding.Mesh) -> Any:
    """Argument 1 of ``Stage.fetch``: indices, or as many tuples as ``read`` gives."""
    one = np.zeros(1, np.int32)
    one = one if read is None else read(one)
    many = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), one
    )
    return _shaped(many, parallel.batch_sharding(mesh))


class DoesNotFit(ValueError):
    """A program needs more memory than a chip has."""


def plan(program: Program, devices: list[Any], batch_size: int | None = None) -> Plan:
    """Compiles a program for ``devices``, by default with the config's batch.

    Raises:
        DoesNotFit: The compiler gave up as a chip's memory is too small.
        ValueError: A loop of unknown length has products, or sends something.
    """
    batch_size = batch_size or program.batch_size
    traced = program.trace(batch_size)
    flops = int(count_flops(traced.jaxpr, program.loop_steps))
    try:
        compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DoesNotFit(
            f"{program.name!r} does not fit the memory of a chip with a batch of "
            f"{batch_size}, expected a smaller one, or "
            "--config.training.parameters=sharded"
        ) from error
    of = compiled.memory_analysis()
    results = of.output_size_in_bytes - of.alias_size_in_bytes
    used = of.argument_size_in_bytes + of.temp_size_in_bytes
    moved = of.output_size_in_bytes
    moved += of.alias_size_in_bytes or of.argument_size_in_bytes
    collectives = count_collectives(compiled.as_text(), len(devices))
    kind = devices[0].device_kind
    return Plan(
        name=program.name,
        chip=kind,
        num_chips=len(devices),
        batch_size=batch_size,
        arguments=of.argument_size_in_bytes,
        temporary=of.temp_size_in_bytes,
        peak=used + results + of.generated_code_size_in_bytes,
        moved=moved,
        gradients=program.gradients,
        collectives=collectives,
        flops=flops,
        samples_per_second=bound(
            CHIPS.get(kind), batch_size, flops, moved, collectives, len(devices)
        ),
    )


def largest(program: Program, devices: list[Any], first: Plan) -> Plan:
    """The plan of about the largest batch that fits, itself compiled.

    ``first`` is that of the config's batch. See ``search``.

    Raises:
        DoesNotFit: Not even that one does.
    """
    memory, chips = CHIPS[first.chip].memory, first.num_chips
    if first.peak > memory:
        raise DoesNotFit(f"{program.name!r} needs {first.peak:,} bytes of {memory:,}")
    plans = {first.batch_size // chips: first}

    def peak_of(batch_size: int) -> int | float:
        try:
            found = plan(program, devices, batch_size * chips)
        except DoesNotFit:
            return np.inf
        plans[batch_size] = found
        return found.peak

    start = first.batch_size // chips
    return plans[search(peak_of, start, first.peak, memory)]


GOOD_ENOUGH = 1 / 16
"""Share of the memory that may be left over, or of the batch that may be missing."""

MOST_TRIED = 8
"""Batch sizes for which a program is compiled in search of the largest."""


def search(
    peak_of: Callable[[int], int | float],
    batch_size: int,
    peak: int | float,
    memory: int | float,
) -> int:
    """About the largest batch whose ``peak_of`` is at most ``memory``; it was tried.

    Memory is about a + b B, so that two sizes tell what to try next: a line through the
    two largest that fit. Where it leaves the bounds that are known, their geometric
    mean is tried. A peak of 15/16 of the memory, or a batch that is 15/16 of one that
    does not fit, is good enough.

    Args:
        peak_of: Bytes of a batch; infinite where it cannot be had.
        batch_size: One that fits.
        peak: Its ``peak_of``.
        memory: Bytes.

    >>> search(lambda b: 100 + 3 * b, 8, 124, memory=16_100)
    5160
    """
    fits, high = [(batch_size, peak)], np.inf
    for _ in range(MOST_TRIED):
        low, used = fits[-1]
        if used >= (1 - GOOD_ENOUGH) * memory or high <= (1 + GOOD_ENOUGH) * low:
            break
        room = (1 - GOOD_ENOUGH / 2) * memory
        size = low * min(room / used, 16)  # fits, as a is not below 0
        if len(fits) > 1 and used > fits[-2][1]:
            slope = (used - fits[-2][1]) / (low - fits[-2][0])
            size = min(low + (room - used) / slope, 64 * low)
        if not low + 1 <= size < high:
            size = max((low * high) ** 0.5, low + 1) if np.isfinite(high) else 2 * low
        size = int(size) - (int(size) % 8 if size > 128 else 0)
        if not low < size < high:
            break
        found = peak_of(size)
        if found > memory:
            high = size
        else:
            fits.append((size, found))
    return fits[-1][0]


def bound(
    chip: Chip | None,
    batch_size: int,
    flops: int,
    moved: int,
    collectives: dict[str, tuple[int, int]],
    num_chips: int,
) -> float | None:
    """Samples a second with products, memory or links, whichever take longest, at best.

    Padding counts as work, so that a run might exceed it by a little; element-wise work
    and whatever a program puts into memory on its way are left out, so that one reaches
    much less.

    ::

        B / max( FLOPs / (n peak), moved / memory's rate, Σ c (n − 1)/n bytes / link ),
        c = 2 of an all-reduce, else 1

    >>> chip = Chip(flops=100.0, memory=1.0, moved=50.0, sent=10.0)
    >>> bound(chip, 8, 400, 60, {"all-reduce": (1, 20)}, num_chips=2)
    4.0
    """
    if chip is None:
        return None
    sent = sum(
        (2 if kind == "all-reduce" else 1) * size * (num_chips - 1) / num_chips
        for kind, (_, size) in collectives.items()
    )
    seconds = max(
        flops / (num_chips * chip.flops), moved / chip.moved, sent / chip.sent
    )
    return batch_size / seconds if seconds else None


def table(plan: Plan, largest: Plan | None = None) -> str:
    """The plan for people, a line a number; ``largest`` is that of what fits."""
    what = "draw" if plan.name == DRAW else "step"
    named = "a draw" if plan.name == DRAW else f"stage {plan.name}"
    lines = [
        f"{named} on {plan.num_chips} x {plan.chip}, batch {plan.batch_size:,}: "
        "compiled, not run",
        f"  memory of a chip    {_mib(plan.peak)}{_share(plan)}",
        f"    arguments         {_mib(plan.arguments)}",
        f"    temporary         {_mib(plan.temporary)}",
    ]
    if plan.gradients:
        lines.append(f"  gradients           {_mib(plan.gradients)}")
    lines += [
        f"  {kind:<18}  {_mib(size)} in {times:,} of them"
        for kind, (times, size) in plan.collectives.items()
    ]
    lines.append(
        f"  FLOPs of a {what}     {plan.flops / 1e9:,.3f} G, all chips together"
    )
    lines += _rate(plan)
    if largest is not None:
        each = largest.batch_size // largest.num_chips
        lines += [
            f"  largest batch       {largest.batch_size:,}, {each:,} a chip, which "
            f"take {_mib(largest.peak)}{_share(largest)}",
            *_rate(largest),
        ]
    return "\n".join(lines)


def _rate(plan: Plan) -> list[str]:
    if plan.samples_per_second is None:
        return []
    return [
        f"  at most about       {plan.samples_per_second:,.0f} samples/s, by products, "
        "memory and links at their peak"
    ]


def _share(plan: Plan) -> str:
    chip = CHIPS.get(plan.chip)
    return f", {plan.peak / chip.memory:.1%} of what it has" if chip else ""


def _mib(size: int) -> str:
    return f"{size / 2**20:,.2f} MiB"
