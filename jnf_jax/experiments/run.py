"""A run: every stage of an experiment trained or read, then evaluated; or seeds of it.

``train.py`` is the program around it; ``sweep.py`` runs several.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_collections

from jnf_jax.evaluation import measures
from jnf_jax.experiments import logs, records, run_folder
from jnf_jax.experiments.combine import combine
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.evaluate import evaluate_and_write
from jnf_jax.experiments.experiment import (
    Setup,
    evaluated_stages,
    load_stage,
    open_experiment,
    record_key,
    stage_directory,
    stage_identity,
    stage_path,
)
from jnf_jax.experiments.stages import bind_stage
from jnf_jax.runtime import parallel, processes
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
    """
    workdir = Path(workdir)
    setup = open_experiment(config)
    dataset = setup.dataset
    sizes = ", ".join(
        f"{name} {split.size:,}" for name, split in dataset.splits.items()
    )
    views = ", ".join(sorted(dataset.shapes))
    processes.say(f"{dataset.name}: {sizes} tuples of {views}")
    for m in sorted(dataset.shapes):
        processes.say(f"  {m}: {_model_of(setup, m)}")
    mesh = parallel.make_mesh() if mesh is None else mesh
    check_sizes(setup, mesh)
    metrics = None  # the first process's alone
    if processes.is_first():
        metrics = logs.MetricsLog(workdir, wandb_project=wandb_project)

    def log(record: dict[str, Any]) -> None:
        # Once the workdir has proved to be this config's; what made its parameters
        # stays on record when they are only read again.
        is_new = not (workdir / "config.json").exists() or record["step"] == 0
        if record["event"] == "start" and is_new:
            logs.write_config(workdir, config.to_dict(), config_name, command)
        metrics(record)

    params, checkpoint_ids, seconds = train_stages(setup, workdir, mesh, log)
    if processes.is_first() and len(params) == len(setup.method.stages):
        run_folder.keep_model(setup, workdir)
    missing = [s.name for s in evaluated_stages(setup) if s.name not in params]
    if with_evaluation and missing:
        unseen = ", ".join(missing)
        processes.say(f"not evaluated: nothing is trained yet of {unseen}")
    if not with_evaluation or missing:
        return None
    is_read = set(setup.experiment.stages) <= set(setup.experiment.init)
    if is_read and processes.is_first():  # no stage's start was logged
        logs.write_config(workdir, config.to_dict(), config_name, command)
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


def _model_of(setup: Setup, modality: str) -> str:
    """Its kind and shape, networks and likelihood, in one line."""
    shape, model = setup.dataset.shapes[modality], setup.experiment.model
    network, likelihood = model.network(modality), model.likelihood(modality)
    kind = {1: "vector", 2: "sequence", 3: "picture"}[len(shape)]
    sizes = (*network.features, *network.hidden_sizes)
    return (
        f"{kind} {list(shape)}, {network.kind} {sizes}, {network.activation}, "
        f"{likelihood.name} of scale {likelihood.scale:.3g}"
        + (", standardised" if modality in setup.dataset.scaling else "")
    )


def train_seeds(
    config: ml_collections.ConfigDict, workdir: Path, out: Path | None = None, **options
) -> dict | None:
    """``num_seeds`` runs, from ``seed`` upwards, and one record with their spread.

    Seeds that have a record are not run again: they may have been other jobs.

    Args:
        config: Its ``num_seeds`` is 2 or more; ``{seed}`` in a path of ``init`` is
            replaced.
        workdir: Each run has ``seed_<seed>`` in it.
        out: Also write the record there.
        **options: Of ``train_and_evaluate``.

    Returns:
        The record, or None where nothing was evaluated.

    Raises:
        ValueError: As ``train_and_evaluate`` and ``combine``.
    """
    resolve(config)
    found = []
    for seed in range(config.seed, config.seed + config.num_seeds):
        own, directory = of_seed(config, seed), Path(workdir) / f"seed_{seed}"
        processes.say(f"seed {seed}: {directory}")
        done = record_of(directory, own)
        found.append(done or train_and_evaluate(own, directory, **options))
    if None in found:
        return None
    record = combine(found)
    for path in [Path(workdir) / "results.json", *([out] if out else [])]:
        records.write(path, record)
    print(console_table(record))
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
            devices; validation batches that the projectors' objective finds too small;
            as ``check_evaluation``.
    """
    splits, experiment = setup.dataset.splits, setup.experiment
    sizes = {
        f"{s}.batch_size": experiment.training[s].batch_size for s in experiment.stages
    }
    sizes["evaluation.classifier.batch_size"] = experiment.classifier.batch_size
    for field, size in sizes.items():
        if size > splits["train"].size:
            raise ValueError(
                f"`{field}` is {size}, expected at most the {splits['train'].size} "
                "training tuples"
            )
    for stage in experiment.stages:
        parallel.check_batch_size(experiment.training[stage].batch_size, mesh)
    if "shared" in experiment.stages and "validation" in splits:
        size = experiment.training["shared"].batch_size
        rows = validation_indices(splits["validation"].size, size).shape[1]
        num = splits["validation"].size
        said = f"the {num} validation tuples make batches of {rows}"
        if faults := experiment.sections["projectors"].batch_faults(rows, said):
            raise ValueError("\n".join(faults))
    check_evaluation(setup)


def check_evaluation(setup: Setup) -> None:
    """Refuses what would stop the protocol or a measure when it has run for long.

    Raises:
        ValueError: More evaluation tuples than there are; sizes that measures cannot
            do with. All faults are listed.
    """
    protocol, num = setup.experiment.evaluation, setup.dataset.splits["test"].size
    faults = measures.data_faults(setup.experiment.measures, setup.dataset, protocol)
    if protocol.num_tuples > num:
        told = f"`evaluation.num_tuples` is {protocol.num_tuples}"
        faults.insert(0, f"{told}, expected at most the {num} test tuples")
    if faults:
        raise ValueError("\n".join(faults))


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
