"""A sweep: variants of a base config, checked, run, and set side by side.

A sweep's config says

- ``base``: the config that is varied; ``{name}`` in its name is filled in by an axis;
- ``overrides``: pairs (field, value) for every variant, fields of the base config with
  dots, as ("evaluation.num_tuples", 200);
- ``axes``: pairs (axis, values): a field of the base config or a name in ``base``;
  every combination is a variant;
- ``shares``: stages that variants whose settings of them agree train only once;
- ``num_seeds``: of each variant, from the base config's ``seed`` upwards;
- ``quantities``: what the table shows, as ``coherence.conditional.1``: keys of a record
  joined by dots; see ``ablations.look_up``;
- ``plot``: ``x`` an axis or a quantity, ``y`` quantities, ``log_x`` whether x is on a
  log scale. Over a quantity a line follows the last axis.

Their shared stages are trained first, then each of them; table, plot and records last.
"""

import collections
import dataclasses
import itertools
import os
import queue
import signal
import string
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_collections

from jnf_jax.content_keys import content_key
from jnf_jax.experiments import ablations, config_files, records, sweep_plot
from jnf_jax.experiments.combine import combine
from jnf_jax.experiments.config import FAULTY
from jnf_jax.experiments.experiment import (
    Setup,
    open_experiment,
    stage_directory,
    stage_identity,
)
from jnf_jax.experiments.options import override
from jnf_jax.experiments.run import of_seed, record_of, train_and_evaluate, try_places
from jnf_jax.names import file_name, join_names
from jnf_jax.options import unknown
from jnf_jax.runtime import parallel, processes
from jnf_jax.training.stopping import SIGNALS

Pairs = tuple[tuple[str, Any], ...]


class Unit(NamedTuple):
    """One seed of one variant, or the training that several of them share.

    Attributes:
        values: {axis: value}; empty where it is shared.
        config_name: The config that was varied, as records name it.
        config: With all that is varied; of this seed.
        directory: Its workdir.
    """

    values: dict[str, Any]
    config_name: str
    config: ml_collections.ConfigDict
    directory: Path


class Plan(NamedTuple):
    """Runs to be made: ``shared`` first, in any order; then ``units``, in any order."""

    shared: list[Unit]
    units: list[Unit]


def make_plan(
    config: ml_collections.ConfigDict, workdir: Path, settings: Pairs = ()
) -> Plan:
    """Checks a sweep's config, opens every variant once, and says what is to be run.

    Variants and shared stages have directories in ``workdir``; ``settings`` are more
    ``overrides``.

    Raises:
        ValueError: With every fault of the sweep and of its variants: their configs,
            or data that are not there.
    """
    faults = _faults(config.to_dict())
    units, found = [], []
    needed = ("`base`", "`axes`", "`overrides`", "`num_seeds`")
    if not any(fault.startswith(needed) for fault in faults):
        units, found = _vary(config, Path(workdir), settings)
    shared, own = {}, []
    for unit in () if faults + found else units:
        try:
            setup = open_experiment(unit.config)
        except (ValueError, FileNotFoundError) as error:
            found += str(error).removeprefix(f"{FAULTY}\n").splitlines()
            continue
        found += _own_faults(config, setup)
        if not found:
            own.append(_share(unit, setup, config.shares, Path(workdir), shared))
    faults += dict.fromkeys(found)
    if faults:
        raise ValueError("\n".join(["the sweep has faults:", *faults]))
    return Plan(list(shared.values()), own)


def _faults(tree: dict[str, Any]) -> list[str]:
    """Everything that is wrong with the sweep's config itself."""
    kinds = {"base": str, "num_seeds": int, "plot": dict}
    kinds |= dict.fromkeys(("overrides", "axes", "shares", "quantities"), tuple | list)
    faults = [f"`{name}` is missing" for name in kinds if name not in tree]
    for name, value in tree.items():
        if name not in kinds:
            faults.append(unknown(name, kinds))
        elif not isinstance(value, kinds[name]) or isinstance(value, bool):
            said = getattr(kinds[name], "__name__", "tuple")
            faults.append(f"`{name}` is {value!r}, expected {said}")
    if faults:
        return faults
    if tree["num_seeds"] < 1:
        faults.append(f"`num_seeds` is {tree['num_seeds']}, expected 1 or more")
    for name in ("overrides", "axes"):
        faults += [
            f"`{name}` has {pair!r}, expected pairs of a field and what it is set to"
            for pair in tree[name]
            if not (_is_list(pair) and len(pair) == 2 and isinstance(pair[0], str))
        ]
    axes = {} if faults else dict(tree["axes"])
    faults += [] if tree["axes"] else ["`axes` is empty, expected one or more"]
    if len(axes) < len(tree["axes"]) and axes:
        faults.append("`axes` has an axis twice, expected each once")
    faults += [
        f"`axes` has {name!r} with {values!r}, expected some values"
        for name, values in axes.items()
        if not _is_list(values) or not values
    ]
    faults += [
        f"`{name}` has {entry!r}, expected a string"
        for name in ("shares", "quantities")
        for entry in tree[name]
        if not isinstance(entry, str)
    ]
    return faults + _plot_faults(tree["plot"], axes)


def _plot_faults(plot: dict[str, Any], axes: dict[str, Any]) -> list[str]:
    if set(plot) != {"x", "y", "log_x"}:
        return [f"`plot` has {sorted(plot)}, expected x, y and log_x"]
    x, y, log_x, faults = plot["x"], plot["y"], plot["log_x"], []
    if axes and x not in axes and "." not in str(x):
        expected = f"one of the axes {[*axes]} or a quantity"
        faults.append(f"`plot.x` is {x!r}, expected {expected}")
    if not _is_list(y) or not y or not all(isinstance(path, str) for path in y):
        faults.append(f"`plot.y` is {y!r}, expected one or more quantities")
    if not isinstance(log_x, bool):
        faults.append(f"`plot.log_x` is {log_x!r}, expected True or False")
    values = axes[x] if _is_list(axes.get(x)) else ()
    if log_x and not all(type(v) in (int, float) and v > 0 for v in values):
        faults.append(
            f"`plot.log_x` is True, expected False: {x!r} has {values}, which are not "
            "all numbers > 0"
        )
    return faults


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _vary(
    config: ml_collections.ConfigDict, workdir: Path, settings: Pairs
) -> tuple[list[Unit], list[str]]:
    """A unit for each combination and seed, and what could not be set."""
    axes = {name: tuple(values) for name, values in config.axes}
    named = {n for _, n, _, _ in string.Formatter().parse(config.base) if n is not None}
    units, faults = [], [
        f"`base` is {config.base!r}, but {name!r} is none of the axes {list(axes)}"
        for name in sorted(named - set(axes))
    ]  # fmt: skip
    if faults:
        return [], faults
    for combination in itertools.product(*axes.values()):
        values = dict(zip(axes, combination, strict=True))
        path = config.base.format(**values)
        try:
            varied = config_files.load_config(path)
        except ValueError as error:
            faults.append(f"`base`: {error}")
            continue
        config_name = config_files.name_of(path)
        fields = [pair for pair in values.items() if pair[0] not in named]
        try:
            override(varied, dict([*config.overrides, *settings, *fields]))
        except ValueError as error:
            faults.append(str(error))
        name = ",".join(f"{axis}={value}" for axis, value in values.items())
        directory = workdir / file_name(name)
        units += [
            Unit(values, config_name, of_seed(varied, seed), directory / f"seed_{seed}")
            for seed in range(varied.seed, varied.seed + config.num_seeds)
        ]
    return units, faults


def _own_faults(config: ml_collections.ConfigDict, setup: Setup) -> list[str]:
    """Lines on whatever the sweep asks for and this variant does not have."""
    faults, stages = [], {stage.name: stage for stage in setup.method.stages}
    method, init = setup.experiment.method, setup.experiment.init
    for stage in config.shares:
        if stage not in stages:
            faults.append(
                f"`shares` has {stage!r}, expected stages of {method!r}: {[*stages]}"
            )
        elif stage not in init:
            faults += [
                f"`shares` has {stage!r} without {need!r}, which it needs: expected "
                f"{need!r} in `shares` or a checkpoint in `init.{need}`"
                for need in stages[stage].needs
                if need not in {*config.shares, *init}
            ]
    inference, measures = setup.method.inference, tuple(setup.experiment.measures)
    known = (inference.modalities, inference.prior_names, measures)
    has_labels = setup.dataset.num_classes is not None
    for path in _looked_up(config):
        faults += ablations.path_faults(path, *known, has_labels)
    return faults


def _looked_up(config: ml_collections.ConfigDict) -> list[str]:
    """Every quantity of the table and of the plot, once."""
    x = () if config.plot.x in dict(config.axes) else (config.plot.x,)
    return [*dict.fromkeys([*config.quantities, *config.plot.y, *x])]


def _share(
    unit: Unit,
    setup: Setup,
    stages: Sequence[str],
    workdir: Path,
    shared: dict[str, Unit],
) -> Unit:
    """The unit, reading the stages that it shares; their own unit goes to ``shared``.

    Units agree on a stage if its identity, as its checkpoint will have it, is the same,
    and how it is trained. Earlier stages that it needs are shared too, or read from
    ``init``.
    """
    init = setup.experiment.init
    own = [s for s in setup.method.stages if s.name in stages and s.name not in init]
    if not own:
        return unit
    about = {
        stage.name: {
            "identity": stage_identity(setup, stage, collections.defaultdict(str)),
            "training": dataclasses.asdict(setup.experiment.training[stage.name]),
        }
        for stage in own
    }
    digest = content_key("stage", {"stages": about, "init": init})
    directory = workdir / "shared" / f"{join_names(about)}_{digest}"
    if digest not in shared:
        config = unit.config.copy_and_resolve_references().unlock()
        config.stages = ",".join(about)
        shared[digest] = Unit({}, unit.config_name, config, directory)
    config = unit.config.copy_and_resolve_references().unlock()
    config.init.update({name: str(stage_directory(directory, name)) for name in about})
    return unit._replace(config=config)


# --- its run --------------------------------------------------------------------------


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
    try_places(workdir, out)
    plan = make_plan(config, workdir, settings)
    quantities = _looked_up(config)
    diverged: list[str] = []

    def run(unit: Unit, mesh: jax.sharding.Mesh) -> dict[str, Any] | None:
        is_variant = bool(unit.values)
        record = record_of(unit.directory, unit.config) if is_variant else None
        what = "has a record" if record else "variant" if is_variant else "shared"
        processes.say(f"{what}: {unit.directory}")
        try:
            record = record or train_and_evaluate(
                unit.config, unit.directory, config_name=unit.config_name,
                command=command, mesh=mesh, with_evaluation=is_variant,
            )  # fmt: skip
        except FloatingPointError as error:
            if not is_variant:
                raise
            diverged.append(f"{unit.directory}: {error}")
            return None
        for quantity in quantities if is_variant else ():
            ablations.look_up(record, quantity)
        return record

    devices = jax.local_devices()
    on_each_device(run, plan.shared, devices)
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
    _write(workdir, out, ablation)
    return ablation


def _write(workdir: Path, out: Path | None, ablation: dict[str, Any]) -> None:
    """Prints the table; writes it, the records and the plot."""
    text = "\n".join(ablations.table_of(ablation))
    processes.say(f"{text}\nTable, records and plot: {workdir}/sweep.{{md,json,png}}")
    paths = [workdir / "sweep.json", out]
    records.write_all(paths, ablation, ablations.faults_of)
    for path in filter(None, paths):
        sweep_plot.draw(ablation, path.with_suffix(".png"))
    (workdir / "sweep.md").write_text(text + "\n", encoding="utf-8")


def on_each_device(
    run: Callable[[Any, jax.sharding.Mesh], Any],
    jobs: Sequence[Any],
    devices: Sequence[jax.Device],
) -> list[Any]:
    """``run(job, mesh of one device)`` of all jobs, one at a time on each device.

    On a single device in this thread, where the trainer hears Ctrl-C and SIGTERM; with
    several, in a thread each, and either ends all of them at once.
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

    # The pool would wait for its threads, which nothing can interrupt.
    before = {number: signal.signal(number, _end_at_once) for number in SIGNALS}
    try:
        with ThreadPoolExecutor(len(devices)) as pool:
            return list(pool.map(run_on_free, jobs))
    finally:
        for number, then in before.items():
            signal.signal(number, then)


def _end_at_once(number: int, frame: Any) -> None:
    print(
        f"stopped by {signal.Signals(number).name}: run again, every variant goes on "
        "from its newest checkpoint",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    os._exit(128 + number)


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
