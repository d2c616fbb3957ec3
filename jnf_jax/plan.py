"""Compiles a training step for a TPU topology that is not there, and tells its needs.

    python -m jnf_jax.plan --config digits/jnf --topology v5e:2x4

It needs the extra ``tpu`` (libtpu has the compiler) and no TPU. Fields of the config
are overridden as in training: ``--config.training.parameters=sharded``. What it prints
was compiled, not run.
"""

import os

from absl import app, flags

from jnf_jax import programs

_CONFIG = programs.define_config("A name of --list, or the path of a file.")
_TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x4", "As libtpu names it.")
_STAGE = flags.DEFINE_string("stage", "joint", "One that needs no other.")


def main(argv: list[str]) -> None:
    """Flags, then ``plan_stage``."""
    del argv
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # libtpu without a TPU is no backend
    with programs.faults_told():
        from jnf_jax.experiments import pods
        from jnf_jax.experiments.experiment import open_experiment

        devices = pods.topology_devices(_TOPOLOGY.value)
        config, _ = programs.config_of(None, _CONFIG)
        plan = pods.plan_stage(open_experiment(config), _STAGE.value, devices)
        print(pods.table(plan))


if __name__ == "__main__":
    flags.mark_flags_as_required(["config"])
    with programs.signals_told():
        app.run(main, flags_parser=programs.parse_flags)
