"""Processes of the tiny experiment, as the tests of ``tests/multihost`` start them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = "tests/multihost/tiny.py"
LOCAL = [str(ROOT / "launch" / "local.sh"), "--processes", "2", "--cpu", "2"]


def environment(cache: Path) -> dict[str, str]:
    """This process's, and a folder for what was compiled already."""
    return {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def start(command, environment, **more):
    """A process in the root of the repository, what it says kept."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(processes, timeout=600):
    """(exit status, stdout, stderr) of each process, once it has ended."""
    texts = [process.communicate(timeout=timeout) for process in processes]
    return [(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]
