"""Trains every stage of an experiment, evaluates it, and shows pictures.

    python -m jnf_jax.train --config configs/digits/jnf.py --workdir runs/digits

Run again, it goes on where it stopped. Any field of the config can be overridden, as in
``--config.optimizer.learning_rate=3e-4``; ``--config.stages=unimodal`` with
``--config.init.joint=DIR`` trains stage two on another run's stage one.
``--config.num_seeds=4`` trains four seeds, in ``WORKDIR/seed_0`` and so on, and writes
one record with their spread; ``{seed}`` in ``--config.init.joint`` is each one's own.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_collections
from absl import app, flags

from jnf_jax import logs, parallel, processes, programs, results
from jnf_jax.evaluation import evaluate_and_write
from jnf_jax.experiment import (
    Setup,
    evaluated_stages,
    load_stage,
    open_experiment,
    stage_directory,
    stage_identity,
    stage_path,
)
from jnf_jax.stages import build_stage
from jnf_jax.training.trainer import train
from jnf_jax.types import Params

_CONFIG = programs.define_config("A file with get_config(), as in configs/.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Checkpoints, logs and samples go here."
)
_EVALUATE = flags.DEFINE_bool("evaluate", True, "Evaluate when all stages are there.")
_WANDB = flags.DEFINE_string("wandb_project", None, "Also log to this W&B project.")
_OUT = flags.DEFINE_string("out", None, "Also write the record to this file.")


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: Path,
    *,
    config_name: str = "config",
    command: str = "",
    with_evaluation: bool = True,
    out: Path | None = None,
    wandb_project: str | None = None,
) -> dict | None:
    """What the program does; returns the record, or None where nothing was evaluated.

    Every process of a run calls it; the first writes, prints and returns the record.

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
    mesh = parallel.make_mesh()
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
    missing = [s.name for s in evaluated_stages(setup) if s.name not in params]
    if with_evaluation and missing:
        unseen = ", ".join(missing)
        processes.say(f"not evaluated: nothing is trained yet of {unseen}")
    if not with_evaluation or missing:
        return None
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
        ValueError: As ``train_and_evaluate`` and ``results.combine``.
    """
    records = []
    for seed in range(config.seed, config.seed + config.num_seeds):
        own = config.copy_and_resolve_references().unlock()
        own.update(seed=seed, num_seeds=1)
        own.init = {stage: p.format(seed=seed) for stage, p in config.init.items()}
        directory = Path(workdir) / f"seed_{seed}"
        processes.say(f"seed {seed}: {directory}")
        done = _record_of(directory, own)
        records.append(done or train_and_evaluate(own, directory, **options))
    if None in records:
        return None
    record = results.combine(records)
    for path in [Path(workdir) / "results.json", *([out] if out else [])]:
        results.write(path, record)
    print(results.console_table(record))
    return record


def _record_of(workdir: Path, config: ml_collections.ConfigDict) -> dict | None:
    """The record of a run of this very config in ``workdir``, if it has one."""
    stored, record = workdir / "config.json", workdir / "results.json"
    if not (stored.exists() and record.exists()):
        return None
    same = json.loads(stored.read_text())["config"] == json.loads(config.to_json())
    return results.read(record) if same else None


def check_sizes(setup: Setup, mesh: jax.sharding.Mesh) -> None:
    """Refuses sizes that would stop the run only after hours of training.

    Raises:
        ValueError: A batch larger than the training split or not divisible by the
            devices; more evaluation tuples than there are.
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
    if experiment.evaluation.num_tuples > splits["test"].size:
        raise ValueError(
            f"`evaluation.num_tuples` is {experiment.evaluation.num_tuples}, expected "
            f"at most the {splits['test'].size} test tuples"
        )


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
            result = train(
                build_stage(stage, setup.dataset, params, mesh),
                experiment.training[name],
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


def main(argv: list[str]) -> None:
    """Flags, then ``train_and_evaluate``."""
    del argv
    config, config_name = programs.config_of(Path(_WORKDIR.value), _CONFIG)
    run = train_seeds if config.get("num_seeds", 1) > 1 else train_and_evaluate
    run(
        config,
        Path(_WORKDIR.value),
        config_name=config_name,
        command=programs.command_line(),
        with_evaluation=_EVALUATE.value,
        out=Path(_OUT.value) if _OUT.value else None,
        wandb_project=_WANDB.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(programs.tell_faults(main))
