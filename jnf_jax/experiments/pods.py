"""What a training step would need on a TPU topology that is not there.

libtpu compiles for chips that nobody has plugged in. A step is compiled as training
compiles it, and its program is read: memory of a chip, what chips send each other,
FLOPs. Nothing runs, so nothing here is a measurement: the bound says what is out of
reach, not what is reached.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np

from jnf_jax.experiments.experiment import Setup
from jnf_jax.experiments.stages import bind_stage
from jnf_jax.runtime import parallel
from jnf_jax.runtime.program_costs import count_collectives, count_flops
from jnf_jax.stage import Stage
from jnf_jax.training import stage_run
from jnf_jax.training.optimizers import TrainSettings


class Chip(NamedTuple):
    """What a chip can do at best, as its maker says; per second and in bytes.

    Attributes:
        flops: Of bfloat16 products, which float32 ones become unless told otherwise.
        memory: Of the chip.
        sent: Bytes over all its links together.
    """

    flops: float
    memory: float
    sent: float


CHIPS = {"TPU v5 lite": Chip(flops=197e12, memory=16e9, sent=200e9)}
"""By ``device_kind``; cloud.google.com/tpu/docs/v5e."""


class Plan(NamedTuple):
    """A compiled step; bytes are of one chip, FLOPs of all together.

    Attributes:
        arguments: Bytes of state, data and frozen parameters.
        temporary: Bytes that the step needs besides.
        peak: Both, results that take no argument's place, and the program.
        gradients: Bytes of the parameters, hence of their gradients.
        collectives: See ``count_collectives``.
        flops: Of one step.
        samples_per_second: See ``bound``; None where the chip is not in ``CHIPS``.
    """

    stage: str
    chip: str
    num_chips: int
    batch_size: int
    arguments: int
    temporary: int
    peak: int
    gradients: int
    collectives: dict[str, tuple[int, int]]
    flops: int
    samples_per_second: float | None


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
def _as_on_tpu() -> Iterator[None]:
    """Whatever chooses by backend chooses for the chips, not for this machine."""
    with mock.patch.object(jax, "default_backend", lambda: "tpu"):
        yield


def plan_stage(setup: Setup, name: str, devices: list[Any]) -> Plan:
    """Compiles one step of a stage that needs no other, split over ``devices``.

    Raises:
        ValueError: No such stage, one that needs another, or a batch that the devices
            do not divide.
    """
    first = [stage.name for stage in setup.method.stages if not stage.needs]
    if name not in first:
        raise ValueError(
            f"`--stage` is {name!r}, expected one that needs no other: {first}"
        )
    method_stage = next(s for s in setup.method.stages if s.name == name)
    settings = setup.experiment.training[name]
    mesh = parallel.mesh_over(devices)
    parallel.check_batch_size(settings.batch_size, mesh)
    stage = bind_stage(method_stage, setup.dataset, {}, settings=settings)
    with _as_on_tpu():
        programs = stage_run.compile_programs(stage, settings, mesh)
        traced = programs.step.trace(*_arguments(stage, settings, programs, mesh))
        flops = count_flops(traced.jaxpr)
        compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    params = jax.eval_shape(stage.init, jax.eval_shape(lambda: jax.random.key(0)))
    gradients = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params))
    of = compiled.memory_analysis()
    results = of.output_size_in_bytes - of.alias_size_in_bytes
    used = of.argument_size_in_bytes + of.temp_size_in_bytes
    collectives = count_collectives(compiled.as_text(), len(devices))
    kind = devices[0].device_kind
    return Plan(
        stage=name,
        chip=kind,
        num_chips=len(devices),
        batch_size=settings.batch_size,
        arguments=of.argument_size_in_bytes,
        temporary=of.temp_size_in_bytes,
        peak=used + results + of.generated_code_size_in_bytes,
        gradients=gradients,
        collectives=collectives,
        flops=flops,
        samples_per_second=bound(
            CHIPS.get(kind), settings.batch_size, flops, collectives, len(devices)
        ),
    )


def _arguments(
    stage: Stage,
    settings: TrainSettings,
    programs: stage_run.Programs,
    mesh: jax.sharding.Mesh,
) -> tuple[Any, ...]:
    """Shapes and shardings of what ``train_step.make_step`` takes."""

    def shaped(tree: Any, sharding: jax.sharding.Sharding) -> Any:
        def of(x: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=sharding)

        return jax.tree.map(of, tree)

    whole = parallel.replicated(mesh)
    key = shaped(jax.eval_shape(lambda: jax.random.key(0)), whole)
    state = jax.eval_shape(programs.init, key)
    places = parallel.state_sharding(state, mesh, settings.parameters)
    arrays = shaped(stage.train_arrays, whole)
    rows = jax.ShapeDtypeStruct(
        (settings.batch_size,), np.int32, sharding=parallel.batch_sharding(mesh)
    )
    return jax.tree.map(shaped, state, places), None, arrays, rows, key


def bound(
    chip: Chip | None,
    batch_size: int,
    flops: int,
    collectives: dict[str, tuple[int, int]],
    num_chips: int,
) -> float | None:
    """Samples a second with products or links, whichever take longer, at their best.

    Padding counts as work, so that a run might exceed it by a little, and element-wise
    work and the chip's memory are left out, so that one reaches much less.

    ::

        B / max( FLOPs / (n peak), Σ c (n − 1)/n bytes / link ),
        c = 2 of an all-reduce, else 1

    >>> chip = Chip(flops=100.0, memory=1.0, sent=10.0)
    >>> bound(chip, 8, 400, {"all-reduce": (1, 20)}, num_chips=2)
    4.0
    """
    if chip is None:
        return None
    sent = sum(
        (2 if kind == "all-reduce" else 1) * size * (num_chips - 1) / num_chips
        for kind, (_, size) in collectives.items()
    )
    seconds = max(flops / (num_chips * chip.flops), sent / chip.sent)
    return batch_size / seconds if seconds else None


def table(plan: Plan) -> str:
    """The plan for people, a line a number."""
    chip = CHIPS.get(plan.chip)
    share = f", {plan.peak / chip.memory:.1%} of what it has" if chip else ""
    lines = [
        f"stage {plan.stage} on {plan.num_chips} x {plan.chip}, batch "
        f"{plan.batch_size:,}: compiled, not run",
        f"  memory of a chip    {_mib(plan.peak)}{share}",
        f"    arguments         {_mib(plan.arguments)}",
        f"    temporary         {_mib(plan.temporary)}",
        f"  gradients           {_mib(plan.gradients)}",
    ]
    lines += [
        f"  {kind:<18}  {_mib(size)} in {times:,} of them"
        for kind, (times, size) in plan.collectives.items()
    ]
    lines.append(f"  FLOPs of a step     {plan.flops / 1e9:,.3f} G, all chips together")
    if plan.samples_per_second is not None:
        lines.append(
            f"  at most about       {plan.samples_per_second:,.0f} samples/s, by "
            "products and links at their peak"
        )
    return "\n".join(lines)


def _mib(size: int) -> str:
    return f"{size / 2**20:,.2f} MiB"
