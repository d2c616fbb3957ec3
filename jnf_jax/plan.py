"""Compiles what a config trains for a TPU topology that is not there: tells its needs.

    python -m jnf_jax.plan --config digits/jnf --topology v5e:2x4 --stage all

It needs the extra ``tpu`` (libtpu has the compiler) and no TPU; of most data sets it
needs no files. Fields of the config are overridden as in training:
``--config.training.parameters=sharded``. What it prints was compiled, not run.
"""

import os

from absl import app, flags

from jnf_jax import programs

_CONFIG = programs.define_config("A name of --list, or the path of a file.")
_TOPOLOGY = flags.DEFINE_string("topology", "v5e:2x4", "As libtpu names it.")
_STAGE = flags.DEFINE_string(
    "stage", "joint", 'One of the config\'s; "draw", given all views but one; or "all".'
)
_LARGEST = flags.DEFINE_bool(
    "largest_batch", False, "Look for it too: about three more compilations of each."
)


def main(argv: list[str]) -> None:
    """Flags, then a table for each program."""
    del argv
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # libtpu without a TPU is no backend
    with programs.faults_told():
        from jnf_jax.experiments import pods
        from jnf_jax.runtime import parallel

        devices = pods.topology_devices(_TOPOLOGY.value)
        config, _ = programs.config_of(None, _CONFIG)
        setup, mesh = pods.open_without_data(config), parallel.mesh_over(devices)
        for program in pods.programs(setup, _STAGE.value, mesh):
            plan, largest = pods.plan(program, devices), None
            if _LARGEST.value:
                largest = pods.largest(program, devices, plan)
            print(pods.table(plan, largest), flush=True)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config"])
    with programs.signals_told():
        app.run(main, flags_parser=programs.parse_flags)
