"""A run: every stage of an experiment trained or read, then evaluated; or seeds of it.

``train.py`` is the program around it; ``sweep.py`` runs several.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np

from jnf_jax import checkpoint
from jnf_jax.checkpoint import owner
from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation import classifiers, measures
from jnf_jax.experiments import dry_run, logs, records, run_folder
from jnf_jax.experiments.combine import combine
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.evaluate import evaluate_and_write
from jnf_jax.experiments.experiment import (
    Setup,
    cache_dir_of,
    evaluated_stages,
    load_stage,
    open_experiment,
    record_key,
    stage_directory,
    stage_identity,
    stage_path,
)
from jnf_jax.experiments.stages import bind_stage
from jnf_jax.page.page import write_own
from jnf_jax.runtime import parallel, processes
from jnf_jax.runtime.files import try_file, try_folder, user_path
from jnf_jax.stage import Stage
from jnf_jax.training.batches import validation_indices
from jnf_jax.training.trainer import train
from jnf_jax.types import Params


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: Path,
    *,
    config_name: str = "config",
    command: str = "",
    with_evaluation: bool = True,
    out: Path | None = None,
    wandb_project: str | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> dict | None:
    """Trains and evaluates; returns the record, or None where nothing was evaluated.

    Every process of a run calls it; the first writes, prints and returns the record.
    ``mesh`` None is all devices.

    Raises:
        ValueError: Faults of the config or the data; a workdir that holds another
            config; a checkpoint that does not fit.
        OSError: Another run works in ``workdir`` (``owner.InUseError``); or a place
            that the run will write to cannot be written.
    """
    workdir = Path(workdir)
    processes.on_first(lambda: try_places(workdir, out))
    with owner.owned(workdir) as check_owner:
        setup = open_experiment(config)
        _say_what_is_trained(setup)
        mesh = parallel.make_mesh() if mesh is None else mesh
        check_sizes(setup, mesh)
        check_read_stages(setup)
        if with_evaluation:
            check_evaluation(setup)
        dry_run.check(setup, workdir, with_evaluation)
        about = (config.to_dict(), config_name, command)
        log = _make_log(workdir, about, wandb_project, check_owner)
        params, checkpoint_ids, seconds = train_stages(setup, workdir, mesh, log)
        if processes.is_first() and len(params) == len(setup.method.stages):
            run_folder.keep_model(setup, workdir)
        missing = [s.name for s in evaluated_stages(setup) if s.name not in params]
        if with_evaluation and missing:
            unseen = ", ".join(missing)
            processes.say(f"not evaluated: nothing is trained yet of {unseen}")
        if not with_evaluation or missing:
            if processes.is_first():
                write_own(workdir, processes.say)
            return None
        is_read = set(setup.experiment.stages) <= set(setup.experiment.init)
        if is_read and processes.is_first():  # no stage's start was logged
            logs.write_config(workdir, *about)
        return evaluate_and_write(
            setup,
            params,
            checkpoint_ids,
            workdir,
            mesh=mesh,
            provenance=logs.provenance(workdir) if processes.is_first() else {},
            training_seconds=seconds,
            out=out,
        )


def _make_log(
    workdir: Path,
    about: tuple[dict[str, Any], str, str],
    wandb_project: str | None,
    check_owner: Callable[[], None],
) -> Callable[[dict[str, Any]], None]:
    """What the trainer calls with its records, in the first process alone.

    ``about`` are config, its name and the command, as ``logs.write_config`` takes them.
    """
    if not processes.is_first():
        return lambda record: None
    metrics = logs.MetricsLog(workdir, wandb_project=wandb_project)

    def log(record: dict[str, Any]) -> None:
        check_owner()
        # Once the workdir has proved to be this config's; what made its parameters
        # stays on record when they are only read again.
        is_new = not (workdir / "config.json").exists() or record["step"] == 0
        if record["event"] == "start" and (is_new or "continued" in record):
            logs.write_config(workdir, *about, record)
        if "continued" in record:
            step, before = record["step"], record["continued"][-1]["num_steps"]
            told = f"goes on from step {step:,}; it was to have {before:,}"
            processes.say(f"stage {record['stage']}: {told}")
        metrics(record)

    return log


def try_places(workdir: Path, out: Path | None) -> None:
    """Tries whether a run can write where it will.

    Raises:
        OSError: It cannot; names the place.
    """
    try_folder(workdir, "workdir")
    if out is not None:
        try_file(out, "out")


KINDS = {1: "vector", 2: "sequence", 3: "picture"}
"""Number of axes of a modality -> what people call it."""

SCALED = {"standardise": "standardised", "log1p": "standardised after log(1 + x)"}
"""``Scaling.rule`` -> what it does, in a word."""


def _say_what_is_trained(setup: Setup) -> None:
    """Sizes of the data and of classes; and a line for each modality.

    That has its shape and range, its scaling, rows that lack it, network, likelihood;
    and one for the latent, with the weight decay of each stage that has some.
    """
    dataset, model = setup.dataset, setup.experiment.model
    sizes = ", ".join(f"{name} {of.size:,}" for name, of in dataset.splits.items())
    views = sorted(dataset.shapes)
    processes.say(f"{dataset.name}: {sizes} tuples of {', '.join(views)}")
    width = max(map(len, views))
    for m in views:
        network, likelihood = model.network(m), model.likelihood(m)
        layers = (*network.features, *network.hidden_sizes)
        path = " and a linear path" if network.linear_path else ""
        learnt = ", learnt from there" if likelihood.learns_scale else ""
        processes.say(
            f"  {m:{width}}  {_told_of(dataset, m)}; {network.kind} {layers}{path}, "
            f"{network.activation}, {likelihood.name} of scale "
            f"{likelihood.scale:.3g}{learnt}"
        )
    decays = {s: of.weight_decay for s, of in setup.experiment.training.items() if of}
    told = "; ".join(
        f"stage {stage} with weight decay {decay:.2g}"
        for stage, decay in decays.items()
        if decay
    )
    processes.say(f"  z: {model.latent_dim} numbers{told and '; '}{told}")
    for name, categories, mean, scale in dataset.covariates:
        told = ", ".join(categories[:8]) + (", …" if len(categories) > 8 else "")
        number = f"number, mean {mean:.4g}, standard deviation {scale:.4g}"
        told = f"one of {told}" if categories else number
        processes.say(f"  covariate {name}: {told}")
    if (labels := dataset.splits["train"].labels) is not None:
        counts = np.bincount(labels, minlength=dataset.num_classes)
        named = f" ({', '.join(dataset.classes[:8])})" if dataset.classes else ""
        told = f"{counts.min():,} to {counts.max():,} training tuples each"
        processes.say(f"  labels: {dataset.num_classes} classes{named}, {told}")


def _told_of(dataset: Dataset, m: str) -> str:
    """Shape, range, scaling and missing rows of a modality."""
    shape, scaling = dataset.shapes[m], dataset.scaling.get(m)
    told = [f"{KINDS[len(shape)]} {list(shape)}"]
    if m in dataset.ranges:
        low, high = dataset.ranges[m]
        told.append(f"{low:.4g} to {high:.4g}")
        told.append("not scaled" if scaling is None else SCALED[scaling.rule])
    parts = [of for of in dataset.splits.values() if of.present is not None]
    if num := sum(int(np.sum(~of.present[m])) for of in parts):
        size = sum(of.size for of in dataset.splits.values())
        told.append(f"missing in {num:,} of {size:,} rows")
    return ", ".join(told)


def train_seeds(
    config: ml_collections.ConfigDict, workdir: Path, out: Path | None = None, **options
) -> dict | None:
    """``num_seeds`` runs, from ``seed`` upwards, and one record with their spread.

    Each run has ``seed_<seed>`` in ``workdir``; one that has a record is not run again,
    as it may have been another job. The record, None where nothing was evaluated, also
    goes to ``out``; ``options`` are those of ``train_and_evaluate``.

    Raises:
        ValueError: As ``train_and_evaluate`` and ``combine``.
    """
    resolve(config)
    processes.on_first(lambda: try_places(workdir, out))
    found = []
    for seed in range(config.seed, config.seed + config.num_seeds):
        own, directory = of_seed(config, seed), Path(workdir) / f"seed_{seed}"
        processes.say(f"seed {seed}: {directory}")
        done = record_of(directory, own)
        found.append(done or train_and_evaluate(own, directory, **options))
    if None in found:
        return None
    record = combine(found)
    print(console_table(record))
    records.write_all([Path(workdir) / "results.json", out], record)
    write_own(workdir, processes.say)
    return record


def of_seed(config: ml_collections.ConfigDict, seed: int) -> ml_collections.ConfigDict:
    """A copy, unlocked, of this one seed, with it for ``{seed}`` in ``init``."""
    own = config.copy_and_resolve_references().unlock()
    own.update(seed=seed, num_seeds=1)
    own.init = {stage: p.format(seed=seed) for stage, p in config.init.items()}
    return own


def record_of(workdir: Path, config: ml_collections.ConfigDict) -> dict | None:
    """The record in ``workdir``, if it is of this config on the data as they are now.

    One of before records had keys is not: its run is evaluated again, not trained.
    """
    path = workdir / "results.json"
    if not path.exists():
        return None
    record = records.read(path)
    is_of_config = record.get("key") == record_key(open_experiment(config))
    return record if is_of_config else None


def check_sizes(setup: Setup, mesh: jax.sharding.Mesh) -> None:
    """Refuses sizes that would stop the run only after hours of training.

    Raises:
        ValueError: A batch larger than the training split or not divisible by the
            devices; validation batches that the projectors' objective finds too small.
    """
    splits, experiment = setup.dataset.splits, setup.experiment
    sizes = {
        stage: experiment.training[stage].batch_size for stage in experiment.stages
    }
    num = splits["train"].size
    for section, size in sizes.items():
        if size > num:
            raise ValueError(
                f"`{section}.batch_size` is {size}, expected at most the {num} "
                "training tuples"
            )
    for size in sizes.values():
        parallel.check_batch_size(size, mesh)
    if "shared" in sizes and "validation" in splits:
        num = splits["validation"].size
        rows = validation_indices(num, sizes["shared"]).shape[1]
        said = f"the {num} validation tuples make batches of {rows}"
        if faults := experiment.sections["projectors"].batch_faults(rows, said):
            raise ValueError("\n".join(faults))


def check_read_stages(setup: Setup) -> None:
    """Raises ValueError where ``init`` names a checkpoint that is not there."""
    for stage, path in setup.experiment.init.items():
        try:
            checkpoint.find(user_path(path, f"init.{stage}"))
        except ValueError as error:
            raise ValueError(f"`init.{stage}`: {error}") from error


def check_evaluation(setup: Setup) -> None:
    """Checks everything that would otherwise fail only after a long evaluation.

    Raises:
        ValueError: More evaluation tuples than there are, or none with all views;
            classifiers' batches larger than the training split; sizes that measures
            cannot do with. All faults are listed.
    """
    experiment, dataset = setup.experiment, setup.dataset.complete
    protocol, batch_size = experiment.evaluation, experiment.classifier.batch_size
    num, num_train = (dataset.splits[name].size for name in ("test", "train"))
    faults = measures.data_faults(experiment.measures, dataset, protocol)
    if dataset.num_classes is not None and batch_size > num_train:
        faults.insert(
            0,
            f"`evaluation.classifier.batch_size` is {batch_size}, expected at most the "
            f"{num_train} training tuples",
        )
    if not num:
        faults.append("no row of split 'test' has all views, expected some to evaluate")
    elif protocol.num_tuples > num:
        told = f"`evaluation.num_tuples` is {protocol.num_tuples}"
        faults.insert(0, f"{told}, expected at most the {num} test tuples")
    if faults:
        raise ValueError("\n".join(faults))
    settings, cache_dir = setup.experiment.classifier, cache_dir_of(setup)
    processes.on_first(lambda: classifiers.try_to_keep(dataset, settings, cache_dir))


def train_stages(
    setup: Setup,
    workdir: Path,
    mesh: jax.sharding.Mesh,
    log: Callable[[dict[str, Any]], None],
) -> tuple[dict[str, Params], dict[str, str], float]:
    """Trains the stages that are to be trained, reads those that were trained before.

    Returns:
        {stage: parameters} and {stage: identity} of all that are there, and the wall
        seconds that all of them were trained.
    """
    experiment = setup.experiment
    params, checkpoint_ids, seconds = {}, {}, 0.0
    for stage in setup.method.stages:
        name = stage.name
        if name in experiment.stages and name not in experiment.init:
            settings = experiment.training[name]
            processes.on_first(
                functools.partial(_set_aside, setup, workdir, stage, checkpoint_ids)
            )
            if stage.cache is not None:
                processes.say(f"stage {name}: caching what it learns from, of all data")
            result = train(
                bind_stage(stage, setup.dataset, params, mesh, settings),
                settings,
                directory=stage_directory(workdir, name),
                metadata=stage_identity(setup, stage, checkpoint_ids),
                mesh=mesh,
                log=log,
            )
            params[name], checkpoint_ids[name] = result.params, result.checkpoint_id
            seconds += result.seconds
            processes.say(
                f"stage {name}: {result.step:,} steps in {result.seconds:.0f} s, "
                f"validation loss {result.validation_loss:.6g}, {result.checkpoint}"
            )
        elif (path := stage_path(setup, workdir, name)).exists() or (
            name in experiment.init
        ):
            params[name], checkpoint_ids[name], spent = load_stage(
                setup, stage, path, checkpoint_ids, parallel.replicated(mesh)
            )
            seconds += spent
            processes.say(f"stage {name}: read from {path}")
    return params, checkpoint_ids, seconds


def _set_aside(
    setup: Setup, workdir: Path, stage: Stage, checkpoint_ids: dict[str, str]
) -> None:
    """Renames checkpoints that were trained on a stage which was continued since."""
    directory = stage_directory(workdir, stage.name)
    needed = [name for name in stage.needs if name in checkpoint_ids]
    places = [checkpoint.find(stage_path(setup, workdir, name)) for name in needed]
    if not any(checkpoint.read_metadata(place).get("continued") for place in places):
        return
    path, _ = checkpoint.newest_intact(directory)
    if path is None:
        return
    then = checkpoint.read_metadata(path)["identity"]["config"]["needs"]
    if changed := [name for name in needed if then.get(name) != checkpoint_ids[name]]:
        aside = directory.with_name(f"{stage.name}-of-{then[changed[0]]}")
        directory.rename(aside)
        processes.say(
            f"stage {stage.name}: what was trained on {', '.join(changed)} before more "
            f"steps is now {aside}"
        )
