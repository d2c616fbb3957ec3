"""What processes agree on, with one of them; several: tests/multihost."""

import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import distributed
from jnf_jax.runtime import processes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("auto", 2, None), "is 'auto' with num_processes=2 .*, expected neither"),
        (("host:1", None, 0), "'host:1' with num_processes=None .*, expected both"),
        (("host:1", 2, 2), "process_id=2, expected both, and 0 <= process_id"),
    ],
)
def test_how_processes_are_joined_is_checked(given, told):
    with pytest.raises(ValueError, match=f"`coordinator` .*{told}"):
        processes.start(*given)


def test_one_process_agrees_with_itself():
    assert processes.is_first()
    assert processes.any_of_all(True) and not processes.any_of_all(False)
    done = []
    processes.on_first(lambda: done.append(1))
    assert done == [1]
    processes.require_same("the step", 3)
    tree = processes.to_host({"x": jnp.ones((2, 3))})
    assert isinstance(tree["x"], np.ndarray) and tree["x"].shape == (2, 3)


def test_what_fails_on_the_first_process_is_raised():
    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        processes.on_first(fail)


def test_options_of_the_program_are_its_own():
    options = distributed.parse(
        ["--coordinator", "auto", "jnf_jax.train", "--config", "c.py", "--workdir=w"]
    )
    assert options.program == "jnf_jax.train" and options.process_id is None
    assert options.rest == ["--config", "c.py", "--workdir=w"]


def test_a_wrong_id_is_one_message():
    command = [sys.executable, "-m", "jnf_jax.distributed", "--coordinator=h:1"]
    command += ["--num_processes=2", "--process_id=5", "jnf_jax.train"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith("error: `coordinator` is")
