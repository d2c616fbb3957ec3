"""A sweep's run: what is shared, then every variant, then table, plot and records.

``sweep.py`` is the program around it; ``variants.py`` says what is to be run.
"""

import itertools
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import ml_collections

from jnf_jax.experiments import ablations, records, sweep_plot
from jnf_jax.experiments.combine import combine
from jnf_jax.experiments.run import record_of, train_and_evaluate
from jnf_jax.experiments.variants import Pairs, Unit, make_plan
from jnf_jax.runtime import parallel, processes


def run_sweep(
    config: ml_collections.ConfigDict,
    workdir: Path,
    *,
    config_name: str,
    command: str,
    settings: Pairs = (),
    out: Path | None = None,
) -> dict[str, Any]:
    """Runs a sweep; returns the ablation, see docs/results_schema.md.

    ``sweep.{json,md,png}`` go to ``workdir``, where each variant has its own directory;
    the ablation and the plot also go to ``out``, as .json and .png. Records quote
    ``config_name`` and ``command``; ``settings`` are more ``overrides``.

    Raises:
        ValueError: Faults of the sweep or of a variant, before anything is trained; or
            a quantity that the first record turns out not to have.
        FloatingPointError: Variants diverged; all others have run, and their records
            stay.
    """
    workdir = Path(workdir)
    plan = make_plan(config, workdir, settings)
    quantities = dict.fromkeys([*config.quantities, *config.plot.y])

    diverged: list[str] = []

    def train(unit: Unit, mesh: jax.sharding.Mesh, with_evaluation: bool) -> Any:
        return train_and_evaluate(
            unit.config, unit.directory, config_name=unit.config_name, command=command,
            mesh=mesh, with_evaluation=with_evaluation,
        )  # fmt: skip

    def train_shared(unit: Unit, mesh: jax.sharding.Mesh) -> None:
        processes.say(f"shared: {unit.directory}")
        train(unit, mesh, with_evaluation=False)

    def run(unit: Unit, mesh: jax.sharding.Mesh) -> dict[str, Any] | None:
        record = record_of(unit.directory, unit.config)
        processes.say(f"{'has a record' if record else 'variant'}: {unit.directory}")
        try:
            record = record or train(unit, mesh, with_evaluation=True)
        except FloatingPointError as error:
            diverged.append(f"{unit.directory}: {error}")
            return None
        for quantity in quantities:
            ablations.look_up(record, quantity)
        return record

    devices = jax.local_devices()
    on_each_device(train_shared, plan.shared, devices)
    found = on_each_device(run, plan.units, devices)
    if diverged:
        listed = "\n  ".join(diverged)
        raise FloatingPointError(
            f"{len(diverged)} of {len(plan.units)} variants diverged, and there is no "
            f"table without them; the others have records:\n  {listed}"
        )
    ablation = {
        "sweep": config_name,
        "command": command,
        "axes": [name for name, _ in config.axes],
        "quantities": list(config.quantities),
        "plot": config.plot.to_dict() | {"y": list(config.plot.y)},
        "variants": _combine(plan.units, found),
    }
    for path in [workdir / "sweep.json", *([Path(out)] if out else [])]:
        records.write(path, ablation, ablations.faults_of)
        sweep_plot.draw(ablation, path.with_suffix(".png"))
    text = "\n".join(ablations.table_of(ablation))
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
    units: Sequence[Unit], found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A record a variant, over its seeds; also written beside them."""
    variants = []
    pairs = zip(units, found, strict=True)
    for directory, seeds in itertools.groupby(pairs, lambda p: p[0].directory.parent):
        own = list(seeds)
        of_seeds = [record for _, record in own]
        record = combine(of_seeds) if len(of_seeds) > 1 else of_seeds[0]
        records.write(directory / "results.json", record)
        variants.append({"values": own[0][0].values, "record": record})
    return variants
