"""Evaluates a trained workdir again: protocol v1, its record, and pictures.

    python -m jnf_jax.evaluate --workdir runs/digits --out results/digits/jnf.json

The config is the one that the workdir was trained with, or ``--config NAME`` with
overrides such as ``--config.sampler.kernel=nuts``; a config for other data or another
model than the checkpoints' is refused. On CPU every core is a device.

    python -m jnf_jax.evaluate --workdir runs/new --against runs/old --out new.json

also records by how much the coherence of `runs/new` is above that of `runs/old`, tuple
by tuple, with standard errors: ``coherence.against`` in the record.
"""

from absl import flags

from jnf_jax import programs

_CONFIG = programs.define_config("As in training, if not the workdir's own.")
_WORKDIR = programs.define_path("workdir", "Of a finished training run.")
_AGAINST = programs.define_paths(
    "against", "Workdirs of runs, evaluated on the same tuples, to compare with."
)
_OUT = programs.define_path("out", "Also write the record to this file.")


def main(argv: list[str]) -> None:
    """Flags, then protocol, record and pictures."""
    from jnf_jax.runtime import parallel, processes

    del argv
    parallel.make_cores_devices()  # before anything looks for devices
    from jnf_jax.checkpoint import owner
    from jnf_jax.experiments import logs
    from jnf_jax.experiments.evaluate import evaluate_and_write
    from jnf_jax.experiments.experiment import (
        evaluated_stages,
        load_stages,
        open_experiment,
    )
    from jnf_jax.experiments.run import check_evaluation, try_places

    workdir = _WORKDIR.value
    config, config_name = programs.config_of(workdir, _CONFIG)
    processes.on_first(lambda: try_places(workdir, _OUT.value))
    with owner.owned(workdir):
        setup = open_experiment(config)
        check_evaluation(setup)
        mesh = parallel.make_mesh()
        params, checkpoint_ids, training_seconds = load_stages(
            setup, workdir, parallel.replicated(mesh), evaluated_stages(setup)
        )
        evaluate_and_write(
            setup,
            params,
            checkpoint_ids,
            workdir,
            mesh=mesh,
            provenance=logs.provenance(workdir)
            | {
                "config": config_name,
                "evaluation_command": programs.command_line(),
                "evaluation_commit": logs.commit(),
                "evaluation_hardware": logs.hardware(),
            },
            training_seconds=training_seconds,
            out=_OUT.value,
            against=_AGAINST.value,
        )


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    programs.run(main)
