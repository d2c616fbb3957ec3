"""The probability-flow ODE of a Gaussian, whose draws are known one by one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.noise_schedule import SMALLEST_TIME, NoiseSchedule
from jnf_jax.sampling import probability_flow

SCHEDULE = NoiseSchedule()
MEAN, SD = jnp.array([1.0, -0.5, 0.0]), jnp.array([0.1, 0.5, 2.0])


def marginal(t):
    """Mean and sd of x_t, for x_0 ~ N(MEAN, SD²)."""
    a, noise = SCHEDULE.signal(t), SCHEDULE.noise(t)
    return a * MEAN, jnp.sqrt(a**2 * SD**2 + noise**2)


def exact(x, t):
    """ŝ of that marginal."""
    mean, sd = marginal(t[:, None])
    return -SCHEDULE.noise(t)[:, None] * (x - mean) / sd**2


@functools.cache
def error(num_steps):
    """Largest, over starts, in standard deviations: the exact flow keeps quantiles."""

    @jax.jit
    def ask(start):
        end = probability_flow(
            start, scaled_score=exact, schedule=SCHEDULE, num_steps=num_steps
        )
        mean, sd = marginal(jnp.float32(SMALLEST_TIME))
        first_mean, first_sd = marginal(jnp.float32(1.0))
        expected = mean + sd * (start - first_mean) / first_sd
        return jnp.max(jnp.abs(end - expected) / sd)

    starts = np.repeat(np.float32([[-2.0], [-0.5], [1.0], [3.0]]), 3, axis=1)
    return float(ask(starts))


def test_exact_score_gives_mean_and_variance():
    # Of a start three standard deviations out: 1.3 % of each.
    assert error(20) < 0.05
    assert error(80) < 0.004


def test_error_is_of_second_order():
    assert 3 < error(20) / error(40) < 5.5


def test_number_of_steps():
    with pytest.raises(ValueError, match="`num_steps` is 0, expected >= 1"):
        error(0)
    assert np.isfinite(error(1))
