"""The same stage on one and on eight virtual CPU devices, in a process of its own.

    python -m pytest -m multidevice

JAX fixes the number of its devices when it starts, so each count is one subprocess.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.multidevice

PROGRAM = Path(__file__).with_name("train_on.py")
ROOT = Path(__file__).parents[2]


def train_on(num_devices, directory, *arguments, visible=None):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(num_devices), str(directory), *arguments],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(visible or num_devices),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done


def result_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def on_one(tmp_path_factory):
    return result_of(train_on(1, tmp_path_factory.mktemp("one")))


def assert_close(one, other):
    np.testing.assert_allclose(one["losses"], other["losses"], rtol=1e-5)
    np.testing.assert_allclose(one["validation"], other["validation"], rtol=1e-5)
    np.testing.assert_allclose(one["params"], other["params"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("parameters", ["replicated", "sharded"])
def test_eight_devices_train_as_one(tmp_path, on_one, parameters):
    on_eight = result_of(train_on(8, tmp_path, "--parameters", parameters))
    assert on_eight["devices_of_params"] == 8
    assert on_one["devices_of_params"] == 1
    # An eighth of all but the filter and the counters, which 8 does not divide.
    share = on_eight["share_of_first_device"]
    assert share < 0.4 if parameters == "sharded" else share == 1
    assert_close(on_one, on_eight)


@pytest.mark.parametrize("num_devices", [1, 4])
def test_a_checkpoint_of_eight_devices_resumes_on_fewer(tmp_path, on_one, num_devices):
    """Written from sharded parameters, read into sharded ones, or whole on one."""
    sharded = ("--parameters", "sharded")
    stopped = train_on(8, tmp_path, "--stop-after", "20", *sharded)
    assert stopped.returncode == 143, stopped.stderr
    options = sharded if num_devices > 1 else ()
    resumed = result_of(train_on(num_devices, tmp_path, *options))
    assert resumed["resumed_from"] == 20
    assert resumed["devices_of_params"] == num_devices
    np.testing.assert_allclose(
        on_one["params"], resumed["params"], rtol=1e-5, atol=1e-7
    )


def test_batch_size_must_divide(tmp_path):
    done = train_on(8, tmp_path, "--batch-size", "30")
    assert done.returncode == 1
    assert "`batch_size` is 30, expected a multiple of the 8 devices" in done.stderr


def test_a_mesh_may_be_smaller_than_the_machine(tmp_path, on_one):
    assert_close(on_one, result_of(train_on(2, tmp_path, visible=8)))
