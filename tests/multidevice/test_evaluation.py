"""Inference, chains, protocol and measures: the numbers of one device on eight."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
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
            "XLA_FLAGS": "",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def found_by(process):
    out, err = process.communicate(timeout=1_800)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def on_one_and_eight():
    return [found_by(process) for process in [start(1), start(8)]]  # at the same time


def test_eight_devices_evaluate_as_one(on_one_and_eight):
    one, eight = on_one_and_eight
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


@pytest.mark.parametrize("measure", ["frechet", "representation", "posterior_match"])
def test_eight_devices_measure_as_one(on_one_and_eight, measure):
    """Of 96 data a rank that rounding moved would move its bin of 16 by 1/18 or 1/6."""
    one, eight = (found["measures"][measure] for found in on_one_and_eight)
    assert jax.tree.structure(one) == jax.tree.structure(eight)  # what is None, too
    numbers = jax.tree.leaves_with_path(one)
    for (path, value), other in zip(numbers, jax.tree.leaves(eight), strict=True):
        name = jax.tree_util.keystr(path)
        # Draws are folded about their median, which leaves the two middle ones equal:
        # rounding ranks them, and moves an R-hat of 64 draws by up to 0.01. That may
        # take one of 24 (datum, dimension) over the limit.
        shares = {"share_unconverged": 0.05, "share_growing": 0.05}
        tolerance = {"rhat_max": 0.02, **shares}.get(path[-1].key, 0)
        assert value == pytest.approx(other, rel=1e-4, abs=tolerance), name


def test_what_is_fetched_was_split_over_all_devices(on_one_and_eight):
    one, eight = (found["parts"] for found in on_one_and_eight)
    assert set(one) == {
        *("coherence", "likelihood", "frechet", "representation", "posterior_match")
    }
    assert one == dict.fromkeys(one, [1])
    assert eight == dict.fromkeys(one, [8])
