"""Inference, chains and the protocol: the numbers of one device on eight."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.multidevice

PROGRAM = Path(__file__).with_name("evaluate_on.py")


def start(num_devices):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(num_devices)],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(num_devices),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # it compiles for minutes
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def found_by(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def test_eight_devices_evaluate_as_one():
    one, eight = map(found_by, [start(1), start(8)])  # at the same time
    assert one["rows_of_z_on_first_device"] == 24
    assert eight["rows_of_z_on_first_device"] == 3  # the chains ran where the data are
    assert set(eight["rows_of_views"]) == {3}
    for name in ("z", "step_size", "acceptance"):
        np.testing.assert_allclose(one[name], eight[name], rtol=1e-5, atol=1e-6)
    for m, value in one["log_probs"].items():
        np.testing.assert_allclose(value, eight["log_probs"][m], rtol=1e-5)
    assert one["log_p"] == pytest.approx(eight["log_p"], rel=1e-5)
    assert one["gap"] == pytest.approx(eight["gap"], rel=1e-4)  # of differences
    assert set(one["log_p_given"]) == {"a", "b", "c", "a+b", "a+c", "b+c"}
    for subset, values in one["log_p_given"].items():
        assert values == pytest.approx(eight["log_p_given"][subset], rel=1e-4), subset
    # Shares of counts, in steps of 1/48: flips need a mean of 0.5 ± 1e-7.
    for name in ("conditional", "joint"):
        assert one[name] == pytest.approx(eight[name], abs=1e-9), name
    assert one["ceiling"] == pytest.approx(eight["ceiling"], abs=1e-9)
