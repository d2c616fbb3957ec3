"""Trains every stage of an experiment, evaluates it, and shows pictures.

    python -m jnf_jax.train --config configs/digits/jnf.py --workdir runs/digits

Run again, it goes on where it stopped. Any field of the config can be overridden, as in
``--config.optimizer.learning_rate=3e-4``; ``--config.stages=unimodal`` with
``--config.init.joint=DIR`` trains stage two on another run's stage one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import ml_collections
from absl import app, flags

from jnf_jax import logs, parallel, programs, results
from jnf_jax.evaluation import evaluate, write_pictures
from jnf_jax.experiment import (
    Setup,
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
    print(f"{dataset.name}: {sizes} tuples of {', '.join(sorted(dataset.shapes))}")
    logs.write_config(workdir, config.to_dict(), config_name, command)
    log = logs.MetricsLog(workdir, wandb_project=wandb_project)
    mesh = parallel.make_mesh()

    params, checkpoint_ids, seconds = train_stages(setup, workdir, mesh, log)
    if not with_evaluation or len(params) < len(setup.method.stages):
        return None
    record = evaluate(
        setup,
        params,
        checkpoint_ids,
        config_name=config_name,
        command=command,
        training_seconds=seconds,
        report=print,
    )
    for path in [workdir / "results.json", *([out] if out else [])]:
        results.write(path, record)
    print(results.console_table(record))
    written = write_pictures(setup, params, workdir / "samples")
    print(f"Record: {workdir / 'results.json'}")
    print(f"Pictures: {', '.join(str(path) for path in written)}")
    return record


def train_stages(
    setup: Setup,
    workdir: Path,
    mesh: jax.sharding.Mesh,
    log: Callable[[dict[str, Any]], None],
) -> tuple[dict[str, Params], dict[str, str], float]:
    """Trains the stages that are to be trained, reads those that were trained before.

    Returns:
        {stage: parameters} and {stage: identity} of all that are there, and the wall
        seconds of training.
    """
    experiment = setup.experiment
    params, checkpoint_ids, seconds = {}, {}, 0.0
    for stage in setup.method.stages:
        name = stage.name
        if name in experiment.stages and name not in experiment.init:
            result = train(
                build_stage(stage, setup.dataset, params),
                experiment.training[name],
                directory=stage_directory(workdir, name),
                metadata=stage_identity(setup, stage, checkpoint_ids),
                mesh=mesh,
                log=log,
            )
            params[name], checkpoint_ids[name] = result.params, result.checkpoint_id
            seconds += result.seconds
            print(
                f"stage {name}: {result.step:,} steps in {result.seconds:.0f} s, "
                f"validation loss {result.validation_loss:.6g}, {result.checkpoint}"
            )
        elif (path := stage_path(setup, workdir, name)).exists() or (
            name in experiment.init
        ):
            params[name], checkpoint_ids[name] = load_stage(
                setup, stage, path, checkpoint_ids
            )
            print(f"stage {name}: read from {path}")
    return params, checkpoint_ids, seconds


def main(argv: list[str]) -> None:
    """Flags, then ``train_and_evaluate``."""
    del argv
    config, config_name = programs.config_of(Path(_WORKDIR.value), _CONFIG)
    train_and_evaluate(
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
