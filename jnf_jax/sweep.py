"""Runs variants of a config and writes their records, one table and one plot.

    python -m jnf_jax.sweep --config configs/ablations/made_blocks.py \\
        --workdir runs/made_blocks --out results/ablations/made_blocks.json

What a sweep's config says is in ``variants.py``. Every fault is told before anything is
trained. Run again, the sweep goes on where it stopped; a variant that has a record of
this very config is not run again. Each variant and seed has one device to itself, as
many at once as there are devices. ``--set FIELD=VALUE`` overrides a field of every
variant, as ``--set init.joint=runs/digits/checkpoints/joint``; fields of the sweep's
own config are ``--config.num_seeds=3`` and the like.
"""

import ast
import itertools
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import ml_collections
from absl import app, flags

from jnf_jax import parallel, processes, programs, results, sweep_plot
from jnf_jax.results import ablations
from jnf_jax.runs import record_of, train_and_evaluate
from jnf_jax.variants import Pairs, Unit, make_plan

_CONFIG = programs.define_config("A sweep's, as in configs/ablations/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Of all variants.")
_OUT = flags.DEFINE_string("out", None, "Also write records, and plot, to this file.")
_SET = flags.DEFINE_multi_string("set", [], "FIELD=VALUE, for every variant.")


def run_sweep(
    config: ml_collections.ConfigDict,
    workdir: Path,
    *,
    config_name: str,
    command: str,
    settings: Pairs = (),
    out: Path | None = None,
) -> dict[str, Any]:
    """What the program does; returns the ablation, see docs/results_schema.md.

    Args:
        config: Of the sweep.
        workdir: ``sweep.{json,md,png}`` go here; each variant has its own directory.
        config_name: File that ``config`` came from.
        command: As records quote it.
        settings: More ``overrides``.
        out: The ablation and the plot also go here, as .json and .png.

    Raises:
        ValueError: Faults of the sweep or of a variant, before anything is trained; or
            a quantity that the first record turns out not to have.
        FloatingPointError: A variant diverged. The others' records stay.
    """
    workdir = Path(workdir)
    plan = make_plan(config, workdir, settings)
    quantities = dict.fromkeys([*config.quantities, *config.plot.y])

    def train_shared(unit: Unit, mesh: jax.sharding.Mesh) -> None:
        processes.say(f"shared: {unit.directory}")
        options = dict(config_name=unit.config_name, command=command, mesh=mesh)
        train_and_evaluate(
            unit.config, unit.directory, with_evaluation=False, **options
        )

    def run(unit: Unit, mesh: jax.sharding.Mesh) -> dict[str, Any]:
        record = record_of(unit.directory, unit.config)
        processes.say(f"{'has a record' if record else 'variant'}: {unit.directory}")
        options = dict(config_name=unit.config_name, command=command, mesh=mesh)
        record = record or train_and_evaluate(unit.config, unit.directory, **options)
        for quantity in quantities:
            ablations.look_up(record, quantity)
        return record

    devices = jax.local_devices()
    on_each_device(train_shared, plan.shared, devices)
    records = on_each_device(run, plan.units, devices)
    ablation = {
        "sweep": config_name,
        "command": command,
        "axes": [name for name, _ in config.axes],
        "quantities": list(config.quantities),
        "plot": config.plot.to_dict() | {"y": list(config.plot.y)},
        "variants": _combine(plan.units, records),
    }
    for path in [workdir / "sweep.json", *([Path(out)] if out else [])]:
        ablations.write(path, ablation)
        sweep_plot.draw(ablation, path.with_suffix(".png"))
    text = "\n".join(ablations.table(ablation))
    (workdir / "sweep.md").write_text(text + "\n", encoding="utf-8")
    processes.say(f"{text}\nTable, records and plot: {workdir}/sweep.{{md,json,png}}")
    return ablation


def on_each_device(
    run: Callable[[Any, jax.sharding.Mesh], Any],
    jobs: Sequence[Any],
    devices: Sequence[jax.Device],
) -> list[Any]:
    """``run(job, mesh of one device)`` of all jobs, one at a time on each device.

    On a single device in this thread, which hears SIGTERM; with several, in a thread
    each, and SIGTERM ends all at once: they go on from their newest checkpoints.
    """
    if len(devices) == 1:
        return [run(job, parallel.mesh_of(devices[0])) for job in jobs]
    free: queue.SimpleQueue[jax.Device] = queue.SimpleQueue()
    for device in devices:
        free.put(device)

    def run_on_free(job: Any) -> Any:
        device = free.get()
        try:
            with jax.default_device(device):
                return run(job, parallel.mesh_of(device))
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        return list(pool.map(run_on_free, jobs))


def _combine(
    units: Sequence[Unit], records: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A record a variant, over its seeds; also written beside them."""
    variants = []
    pairs = zip(units, records, strict=True)
    for directory, seeds in itertools.groupby(pairs, lambda p: p[0].directory.parent):
        own = list(seeds)
        found = [record for _, record in own]
        record = results.combine(found) if len(found) > 1 else found[0]
        results.write(directory / "results.json", record)
        variants.append({"values": own[0][0].values, "record": record})
    return variants


def parse_setting(text: str) -> tuple[str, Any]:
    """ "FIELD=VALUE"; a value that is no Python literal is text.

    Raises:
        ValueError: There is no "=".

    >>> parse_setting("flow.num_blocks=3"), parse_setting("init.joint=runs/a")
    (('flow.num_blocks', 3), ('init.joint', 'runs/a'))
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"`--set` is {text!r}, expected FIELD=VALUE")
    try:
        return field, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return field, value


def main(argv: list[str]) -> None:
    """Flags, then ``run_sweep``."""
    del argv
    config, config_name = programs.config_of(Path(_WORKDIR.value), _CONFIG)
    run_sweep(
        config,
        Path(_WORKDIR.value),
        config_name=config_name,
        command=programs.command_line(),
        settings=tuple(parse_setting(text) for text in _SET.value),
        out=Path(_OUT.value) if _OUT.value else None,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(programs.tell_faults(main))
