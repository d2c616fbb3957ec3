"""Seconds from command to first step, cold and warm; every program of a whole run.

    python -m benchmarks.startup --out startup.json

digits/jnf in processes of its own: `cold` with an empty persistent
compilation cache (JAX_COMPILATION_CACHE_DIR), `warm` with what that run left in it;
`warm_collecting` the same while Python's collector keeps its own thresholds
(`jnf_jax/runtime/host_memory.py`). These two in turn, the medians of three. A first run
that is not timed brings Python's own files into memory.

`programs` are those of a train-and-evaluate run of each of `CONFIGS` with few steps and
an empty cache: how often a program of that name was compiled, and its seconds to trace,
to lower and to compile, the longest first. Their number does not grow with steps.
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
FEW_DATA = (
    *("--config.data.repeats=2", "--config.data.validation_repeats=1"),
    *("--config.data.test_repeats=1", "--config.evaluation.num_prior_samples=500"),
    *("--config.evaluation.classifier.num_steps=4", "--config.joint.num_steps=4"),
)
CONFIGS = {
    "digits/jnf": (
        *FEW_DATA,
        *("--config.subsets.num_steps=4", "--config.subsets.warmup_steps=0"),
    ),
    "digits/jnf_paper": (
        *FEW_DATA,
        *("--config.unimodal.num_steps=4", "--config.sampler.num_transitions=4"),
        "--config.sampler.num_adaptation=4",
    ),
    "digits/mmvae_plus": FEW_DATA,
}
"""One flow for every subset, chains on a product, a mixture of experts; few steps."""


def main() -> None:
    """Cold, warm, then the compilations of a whole run."""
    flags = measuring.read_flags(__doc__)
    record = {}
    with tempfile.TemporaryDirectory() as folder:
        few = CONFIGS["digits/jnf"] if flags.small else ()
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
            record["programs"] = {c: programs(Path(folder), c) for c in CONFIGS}
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


def programs(folder: Path, config: str) -> dict[str, dict[str, float]]:
    """All that XLA compiles in a train-and-evaluate run, see ``programs_of``."""
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "jnf_jax.train"),
                *("--config", config, "--workdir", workdir, *CONFIGS[config]),
            ],
            # Its own folder of classifiers: those of another run would be read.
            env={
                **_environment(Path(workdir) / "whole"),
                "JAX_LOG_COMPILES": "1",
                "XDG_CACHE_HOME": workdir,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        # Where a run keeps what libraries tell.
        notices = Path(workdir) / "notices.log"
        log = done.stderr + (notices.read_text() if notices.exists() else "")
    if done.returncode:
        raise SystemExit(f"the run of {config} failed:\n{done.stderr}")
    return programs_of(log)


PHASES = {
    "trace": r"Finished tracing (?:\+ transforming )?(\S+) for p?jit in",
    "lower": r"Finished jaxpr to MLIR module conversion jit\(([^)]*)\) in",
    "compile": r"Finished XLA compilation of jit\(([^)]*)\) in",
}
"""What JAX says of a program under JAX_LOG_COMPILES, before the seconds."""


def programs_of(log: str) -> dict[str, dict[str, float]]:
    """{name: {"times", "trace", "lower", "compile"}}, the longest first.

    Seconds are summed over all programs of a name that were compiled; what another one
    traced on its way is in its own seconds.
    """
    found: dict[str, dict[str, float]] = {}
    for phase, pattern in PHASES.items():
        for name, seconds in re.findall(pattern + r" ([\d.e-]+) sec", log):
            of = found.setdefault(name, {"times": 0, **dict.fromkeys(PHASES, 0.0)})
            of["times"] += phase == "compile"
            of[phase] += float(seconds)
    compiled = {name: of for name, of in found.items() if of["times"]}
    return dict(
        sorted(compiled.items(), key=lambda item: -sum(item[1][p] for p in PHASES))
    )


if __name__ == "__main__":
    main()
