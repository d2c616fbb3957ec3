"""Trains every stage of an experiment, evaluates it, and shows pictures.

    python -m jnf_jax.train --config digits/jnf --workdir runs/digits

Run again, it goes on where it stopped. Any field of the config can be overridden, as in
``--config.optimizer.learning_rate=3e-4``; ``--config.stages=unimodal`` with
``--config.init.joint=DIR`` trains stage two on another run's stage one.
``--config.num_seeds=4`` trains four seeds, in ``WORKDIR/seed_0`` and so on, and writes
one record with their spread; ``{seed}`` in ``--config.init.joint`` is each one's own.
``--config own/jnf --config.data.path=FILE`` trains on views of one's own
(``data/view_files.py``).
"""

from absl import flags

from jnf_jax import programs

_CONFIG = programs.define_config(
    "A name of --list, or the path of a file with get_config()."
)
_WORKDIR = programs.define_path("workdir", "Checkpoints, logs and samples go here.")
_EVALUATE = flags.DEFINE_bool("evaluate", True, "Evaluate when all stages are there.")
_WANDB = flags.DEFINE_string("wandb_project", None, "Also log to this W&B project.")
_OUT = programs.define_path("out", "Also write the record to this file.")


def main(argv: list[str]) -> None:
    """Flags, then ``train_and_evaluate``."""
    from jnf_jax.experiments import own_data
    from jnf_jax.experiments.run import train_and_evaluate, train_seeds
    from jnf_jax.runtime import host_memory

    del argv
    host_memory.collect_rarely()  # not through what was imported just now either
    workdir = _WORKDIR.value
    with own_data.removed_if_refused(workdir):
        config, config_name = programs.config_of(
            workdir, _CONFIG, convert=own_data.of_flags
        )
        run = train_and_evaluate if config.get("num_seeds", 1) == 1 else train_seeds
        run(
            config,
            workdir,
            config_name=config_name,
            command=programs.command_line(),
            with_evaluation=_EVALUATE.value,
            out=_OUT.value,
            wandb_project=_WANDB.value,
        )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    programs.run(main, makes_workdir=True)
