"""What a TPU's compiler says of steps on 8 and 256 chips, which are not there.

    python -m benchmarks.pods --out benchmarks/records/pods.json

Steps of stage ``joint``, of one flow for every subset, and of the joint stage with an
energy-based prior, for a small config and a large one, parameters replicated and
sharded: memory of a chip, what chips send each other, FLOPs, and the bound on samples a
second; on 8 chips with whole parameters also a draw given all views but one, and of
every program the largest batch that fits. Compiled, not run. It needs the extra ``tpu``
and no data. A program takes a minute or so of a core; those that ``--out`` has already,
each with its commit, are not compiled again.
"""

import itertools
import json
import os
from typing import Any

from benchmarks import measuring

CONFIGS = {
    "small": {"joint": "digits/jnf", "energy": "digits/jnf_ebm"},
    "large": {"joint": "polymnist/jnf", "energy": "polymnist/jnf_ebm"},
}
PROGRAMS = {
    "joint": ("joint", "joint"),
    "subsets": ("joint", "subsets"),
    "energy": ("energy", "joint"),
    "draw": ("joint", "draw"),
}
"""Name in the record -> which of the configs, and what of it."""

TOPOLOGIES = {8: "v5e:2x4", 256: "v5e:16x16"}
PARAMETERS = ("replicated", "sharded")


def main() -> None:
    """One program after the other; the record is written after each."""
    flags = measuring.read_flags(__doc__)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # libtpu without a TPU is no backend
    from jnf_jax.experiments import logs

    commit = logs.describe_run()["commit"]
    found: dict[str, Any] = {}
    if flags.out and flags.out.exists():
        found = json.loads(flags.out.read_text())["programs"]
    sizes, chips = list(CONFIGS), list(TOPOLOGIES)
    if flags.small:
        sizes, chips = sizes[:1], chips[:1]
    wanted = list(itertools.product(sizes, PROGRAMS, chips, PARAMETERS))
    # Last what takes longest.
    for one in sorted(wanted, key=lambda one: is_searched(*one[2:])):
        searched, place = is_searched(*one[2:]), ".".join(map(str, one))
        if place in found or (one[1] == "draw" and not searched):
            continue
        of_one = told(*one, searched and not flags.small)
        found[place] = {"commit": commit} | of_one
        measuring.write_record(flags, "pods", {"programs": found})


def is_searched(num: int, parameters: str) -> bool:
    """Whether the largest batch is looked for, and a draw compiled."""
    return (num, parameters) == (8, "replicated")


def told(
    size: str, name: str, num: int, parameters: str, searched: bool
) -> dict[str, Any]:
    """What the record says of one program."""
    from jnf_jax.experiments import pods
    from jnf_jax.runtime import parallel

    which, stage = PROGRAMS[name]
    config = config_of(CONFIGS[size][which], name == "subsets" or name == "draw")
    config.training.parameters = parameters
    if stage != pods.DRAW:  # of the chips each has one tuple at least
        config[stage].batch_size = max(config[stage].batch_size, num)
    devices = pods.topology_devices(TOPOLOGIES[num])
    setup = pods.open_without_data(config)
    (program,) = pods.programs(setup, stage, parallel.mesh_over(devices))
    plan = pods.plan(program, devices)
    found = described(plan)
    if searched:
        found["largest"] = described(pods.largest(program, devices, plan))
    return found


def config_of(name: str, amortised: bool):
    """A config by its name; ``amortised``: with one flow for every subset."""
    from jnf_jax.experiments import config_files

    config = config_files.load_config(name)
    config.unlock()
    if amortised and config.subset_posterior.name != "amortised":
        config.subset_posterior.name = "amortised"
        config.stages = "joint,subsets"
        config.subsets = dict(config.unimodal)
        del config.unimodal
    return config


def described(plan) -> dict[str, Any]:
    """A plan in MiB and GFLOP."""
    mib = 2**20
    return {
        "chip": plan.chip,
        "batch_size": plan.batch_size,
        "memory_mib": plan.peak / mib,
        "arguments_mib": plan.arguments / mib,
        "temporary_mib": plan.temporary / mib,
        "gradients_mib": plan.gradients / mib,
        "collectives": {
            kind: {"times": times, "mib": sent / mib}
            for kind, (times, sent) in plan.collectives.items()
        },
        "gflop": plan.flops / 1e9,
        "bound_samples_per_s": plan.samples_per_second,
    }


if __name__ == "__main__":
    main()
