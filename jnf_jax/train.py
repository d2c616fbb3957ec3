"""Trains every stage of an experiment, evaluates it, and shows pictures.

    python -m jnf_jax.train --config configs/digits/jnf.py --workdir runs/digits

Run again, it goes on where it stopped. Any field of the config can be overridden, as in
``--config.optimizer.learning_rate=3e-4``; ``--config.stages=unimodal`` with
``--config.init.joint=DIR`` trains stage two on another run's stage one.
"""

import shlex
import sys
from pathlib import Path

import ml_collections
from absl import app, flags
from ml_collections import config_flags

from jnf_jax import checkpoint, logs, parallel, results
from jnf_jax.evaluation import evaluate, write_pictures
from jnf_jax.experiment import load_stage, open_experiment, stage_directory, stage_identity
from jnf_jax.stages import build_stage
from jnf_jax.trainer import train

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "A file with get_config().", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints, logs and samples go here.")
_EVALUATE = flags.DEFINE_bool("evaluate", True, "Evaluate when all stages are there.")
_OUT = flags.DEFINE_string("out", None, "Also write the record to this file.")


def train_and_evaluate(
    config: ml_collections.ConfigDict,
    workdir: Path,
    *,
    config_name: str = "config",
    command: str = "",
    with_evaluation: bool = True,
    out: Path | None = None,
) -> dict | None:
    """What the program does; returns the record, or None where nothing was evaluated.

    Raises:
        ValueError: Faults of the config or the data; a workdir that holds another
            config; a checkpoint that does not fit.
    """
    workdir = Path(workdir)
    setup = open_experiment(config)
    experiment, dataset = setup.experiment, setup.dataset
    sizes = ", ".join(f"{name} {split.size:,}" for name, split in dataset.splits.items())
    print(f"{dataset.name}: {sizes} tuples of {', '.join(sorted(dataset.shapes))}")
    logs.write_config(
        workdir, {**config.to_dict(), "config_file": config_name, "command": command}
    )
    log, mesh = logs.MetricsLog(workdir), parallel.make_mesh()

    params, checkpoint_ids, seconds = {}, {}, 0.0
    for stage in setup.method.stages:
        name, directory = stage.name, stage_directory(workdir, stage.name)
        if name in experiment.init or name not in experiment.stages:
            if name not in experiment.init and not directory.exists():
                continue
            path = Path(experiment.init.get(name, directory))
            params[name], checkpoint_ids[name] = load_stage(
                setup, stage, path, checkpoint_ids
            )
            print(f"stage {name}: read from {path}")
            continue
        built = build_stage(stage, dataset, params)
        result = train(
            built,
            experiment.training[name],
            directory=directory,
            metadata=stage_identity(setup, stage, checkpoint_ids),
            mesh=mesh,
            log=log,
        )
        params[name], checkpoint_ids[name] = result.params, result.checkpoint_id
        seconds += result.seconds
        print(
            f"stage {name}: {result.step:,} steps, validation loss "
            f"{result.validation_loss}, {result.seconds:.0f} s, {result.checkpoint}"
        )

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


def main(argv: list[str]) -> None:
    """Flags, then ``train_and_evaluate``; faults of the user's are told in one go."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}")
    try:
        train_and_evaluate(
            _CONFIG.value,
            Path(_WORKDIR.value),
            config_name=config_flags.get_config_filename(flags.FLAGS["config"]),
            command=shlex.join(["python", "-m", "jnf_jax.train", *sys.argv[1:]]),
            with_evaluation=_EVALUATE.value,
            out=Path(_OUT.value) if _OUT.value else None,
        )
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
