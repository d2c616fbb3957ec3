"""The same stage on one and on eight virtual CPU devices, in a process of its own.

    python -m pytest -m multidevice

JAX fixes the number of its devices when it starts, so each count is one subprocess.
"""

import functools
import json

import numpy as np
import pytest
from forked import Forked
from multidevice import train_on as program

pytestmark = pytest.mark.multidevice


def train_on(num_devices, directory, *, visible=None, **options):
    """Exit status, stdout, stderr."""
    process = Forked(
        functools.partial(program.main, **options), num_devices, directory,
        jax_num_cpu_devices=visible or num_devices,
    )  # fmt: skip
    out, err = process.communicate()
    return process.returncode, out, err


def result_of(done):
    status, out, err = done
    assert status == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def on_one(tmp_path_factory):
    return result_of(train_on(1, tmp_path_factory.mktemp("one")))


def assert_close(one, other):
    np.testing.assert_allclose(one["losses"], other["losses"], rtol=1e-5)
    np.testing.assert_allclose(one["validation"], other["validation"], rtol=1e-5)
    np.testing.assert_allclose(one["params"], other["params"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("parameters", ["replicated", "sharded"])
def test_eight_devices_train_as_one(tmp_path, on_one, parameters):
    on_eight = result_of(train_on(8, tmp_path, parameters=parameters))
    assert on_eight["devices_of_params"] == 8
    assert on_one["devices_of_params"] == 1
    # An eighth of all but the filter and the counters, which 8 does not divide.
    share = on_eight["share_of_first_device"]
    assert share < 0.4 if parameters == "sharded" else share == 1
    assert_close(on_one, on_eight)


@pytest.mark.parametrize("num_devices", [1, 4])
def test_a_checkpoint_of_eight_devices_resumes_on_fewer(tmp_path, on_one, num_devices):
    """Written from sharded parameters, read into sharded ones, or whole on one."""
    sharded = {"parameters": "sharded"}
    status, _, err = train_on(8, tmp_path, stop_after=20, **sharded)
    assert status == 143, err
    options = sharded if num_devices > 1 else {}
    resumed = result_of(train_on(num_devices, tmp_path, **options))
    assert resumed["resumed_from"] == 20
    assert resumed["devices_of_params"] == num_devices
    np.testing.assert_allclose(
        on_one["params"], resumed["params"], rtol=1e-5, atol=1e-7
    )


def test_batch_size_must_divide(tmp_path):
    status, _, err = train_on(8, tmp_path, batch_size=30)
    assert status == 1
    assert "`batch_size` is 30, expected a multiple of the 8 devices" in err


def test_a_mesh_may_be_smaller_than_the_machine(tmp_path, on_one):
    assert_close(on_one, result_of(train_on(2, tmp_path, visible=8)))
