"""Seconds from command to first step, cold and warm; compilations of a whole run.

    python -m benchmarks.startup --out startup.json

digits/jnf in processes of its own: `cold` with an empty persistent
compilation cache (JAX_COMPILATION_CACHE_DIR), `warm` with what that run left in it;
`warm_collecting` the same while Python's collector keeps its own thresholds
(`jnf_jax/runtime/host_memory.py`). These two in turn, the medians of three. A first run
that is not timed brings Python's own files into memory. The compilations are
those of a train-and-evaluate run with few steps: their number does not grow with steps.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measuring

RUN = "programs.run(train.main)"
# Tells the time of import, of data, and of the first step, as the program passes them.
CHILD = """
import sys, time
begin = float(sys.argv.pop(1))
from jnf_jax import train
from jnf_jax.experiments import run as runs
from jnf_jax.training import stage_run
marks = {"imports": time.time() - begin}
original_open, original_advance = runs.open_experiment, stage_run.make_advance

def open_experiment(config):
    setup = original_open(config)
    marks["data"] = time.time() - begin
    return setup

def make_advance(*arguments):
    advance = original_advance(*arguments)
    def wrapped(*arguments):
        import jax, json
        found = jax.block_until_ready(advance(*arguments))
        marks["first_step"] = time.time() - begin
        print(json.dumps(marks), flush=True)
        sys.exit(0)
    return wrapped

runs.open_experiment, stage_run.make_advance = open_experiment, make_advance
from absl import flags
from jnf_jax import programs
flags.mark_flags_as_required(["config", "workdir"])
programs.run(train.main)
"""
assert CHILD.count(RUN) == 1
COLLECTING = """
from jnf_jax.runtime import host_memory
host_memory.collect_rarely = lambda: None
"""
FEW_STEPS = (
    *("--config.joint.num_steps=4", "--config.unimodal.num_steps=4"),
    *("--config.data.repeats=2", "--config.data.validation_repeats=1"),
    *("--config.data.test_repeats=1", "--config.evaluation.num_prior_samples=500"),
    "--config.evaluation.classifier.num_steps=4",
    *("--config.sampler.num_transitions=4", "--config.sampler.num_adaptation=4"),
)  # fmt: skip


def main() -> None:
    """Cold, warm, then the compilations of a whole run."""
    flags = measuring.read_flags(__doc__)
    record = {}
    with tempfile.TemporaryDirectory() as folder:
        few = FEW_STEPS if flags.small else ()
        if not flags.small:
            first_step(Path(folder), "unmeasured", few)
        record["cold"] = first_step(Path(folder), "compiled", few)
        runs = {
            name: lambda more=more: first_step(Path(folder), "compiled", few, more)
            for name, more in (("warm", ""), ("warm_collecting", COLLECTING))
        }
        each = measuring.in_turn(runs, 1 if flags.small else 3)
        for name, found in each.items():
            found.sort(key=lambda marks: marks["first_step"])
            record[name] = found[len(found) // 2]
            record[f"{name}_each"] = [marks["first_step"] for marks in found]
        if not flags.small:
            record["compilations"] = compilations(Path(folder))
    measuring.write_record(flags, "startup", record)


def _environment(cache: Path) -> dict[str, str]:
    cache.mkdir(exist_ok=True)
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def first_step(
    folder: Path, cache: str, few: tuple[str, ...], more: str = ""
) -> dict[str, float]:
    """{moment: seconds since the command} of a run that stops after one step.

    ``more`` is Python that runs before it.
    """
    script = CHILD.replace(RUN, more + RUN)
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        done = subprocess.run(
            [
                *(sys.executable, "-c", script, str(time.time())),
                *("--config", "digits/jnf", "--workdir", workdir, *few),
            ],
            env=_environment(folder / cache),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"the run to be timed failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compilations(folder: Path) -> dict[str, int]:
    """How many programs XLA compiles in a train-and-evaluate run."""
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "jnf_jax.train"),
                *("--config", "digits/jnf", "--workdir", workdir),
                *FEW_STEPS,
            ],
            # Its own folder of classifiers: those of another run would be read.
            env={
                **_environment(folder / "whole"),
                "JAX_LOG_COMPILES": "1",
                "XDG_CACHE_HOME": workdir,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"the run to be counted failed:\n{done.stderr}")
    return count_compilations(done.stderr)


def count_compilations(log: str) -> dict[str, int]:
    """What JAX says of them under JAX_LOG_COMPILES, counted."""
    names = re.findall(r"Finished XLA compilation of jit\(([^)]*)\)", log)
    return {"all": len(names), "different_names": len(set(names))}


if __name__ == "__main__":
    main()
