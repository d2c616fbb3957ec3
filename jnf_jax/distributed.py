"""Runs a program as one process of several; `launch/` has the scripts that start all.

    python -m jnf_jax.distributed --coordinator HOST:PORT --num_processes 2 \\
        --process_id 0 jnf_jax.train --config digits/jnf --workdir runs/a

On SLURM, Cloud TPU and GKE ``--coordinator auto`` finds the rest out. The processes
must be joined before JAX looks for devices, which importing BlackJAX makes it do: hence
a program of its own, that imports none of the others before.
"""

import argparse
import runpy
import sys

from jnf_jax.runtime import processes

PROGRAMS = ("jnf_jax.train", "jnf_jax.evaluate")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of this program, and those of the one that it runs in ``rest``."""
    parser = argparse.ArgumentParser(prog="python -m jnf_jax.distributed")
    parser.add_argument("--coordinator", required=True)
    parser.add_argument("--num_processes", type=int)
    parser.add_argument("--process_id", type=int)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def main() -> None:
    """Joins the others, then runs the program as ``python -m`` would."""
    options = parse(sys.argv[1:])
    try:
        processes.start(options.coordinator, options.num_processes, options.process_id)
    except ValueError as error:
        sys.exit(f"error: {error}")
    sys.argv = [options.program, *options.rest]
    runpy.run_module(options.program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
