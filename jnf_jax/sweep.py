"""Runs variants of a config and writes their records, one table and one plot.

    python -m jnf_jax.sweep --config ablations/made_blocks \\
        --workdir runs/made_blocks --out results/ablations/made_blocks.json

``experiments/sweep.py`` tells what its config says. Every fault is told before anything
is trained. Run again, the sweep goes on where it stopped; a variant that has a record
of this very config is not run again. Each variant and seed has one device to itself, as
many at once as there are devices. ``--set FIELD=VALUE`` overrides a field of every
variant, as ``--set init.joint=runs/digits/checkpoints/joint``; fields of the sweep's
own config are ``--config.num_seeds=3`` and the like.
"""

from absl import flags

from jnf_jax import programs
from jnf_jax.experiments import config_files

_CONFIG = programs.define_config("A sweep's, as in configs/ablations/.")
_WORKDIR = programs.define_path("workdir", "Of all variants.")
_OUT = programs.define_path("out", "Also write records, and plot, to this file.")
_SET = flags.DEFINE_multi_string("set", [], "FIELD=VALUE, for every variant.")


def main(argv: list[str]) -> None:
    """Flags, then ``run_sweep``."""
    from jnf_jax.experiments.sweep import run_sweep

    del argv
    config, config_name = programs.config_of(_WORKDIR.value, _CONFIG)
    run_sweep(
        config,
        _WORKDIR.value,
        config_name=config_name,
        command=programs.command_line(),
        settings=tuple(config_files.parse_setting(text) for text in _SET.value),
        out=_OUT.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    programs.run(main, makes_workdir=True)
