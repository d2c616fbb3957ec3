"""Denoising against the score that is known: that of a Gaussian around a condition."""

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.losses import denoising_loss
from jnf_jax.noise_schedule import SMALLEST_TIME, NoiseSchedule, order_faults

SCHEDULE = NoiseSchedule()
SD = jnp.array([0.3, 1.2])


def exact_given(condition):
    """ŝ of N(condition, SD²), [B, 2] pictures of one row: −√v (x − a x̂)/(a² σ² + v)."""

    def scaled_score(params, x, t):
        a, noise = (f(t)[:, None, None] for f in (SCHEDULE.signal, SCHEDULE.noise))
        return -params * noise * (x - a * condition) / (a**2 * SD**2 + noise**2)

    return scaled_score


def test_the_exact_conditional_score_has_the_loss_of_the_closed_form():
    keys = jax.random.split(jax.random.key(0), 3)
    condition = jax.random.normal(keys[0], (20_000, 1, 2))
    x = condition + SD * jax.random.normal(keys[1], condition.shape)
    loss = lambda factor: denoising_loss(  # noqa: E731
        factor, keys[2], x, scaled_score=exact_given(condition), schedule=SCHEDULE
    )
    found = loss(1.0)
    assert found.shape == (20_000,)
    # E‖ŝ + ξ‖² = E_t Σ_d a²σ_d² / (a²σ_d² + v), by averaging over t alone.
    t = jnp.linspace(SMALLEST_TIME, 1, 20_001)[:, None]
    a, v = SCHEDULE.signal(t) ** 2, SCHEDULE.noise(t) ** 2
    expected = float(jnp.mean(jnp.sum(a * SD**2 / (a * SD**2 + v), axis=-1)))
    error = float(found.std()) / len(x) ** 0.5
    assert abs(float(found.mean()) - expected) < 5 * error
    # The same noise: the minimum is at the exact score, and not beside it.
    slope = jax.grad(lambda factor: loss(factor).mean())(1.0)
    curvature = jax.grad(jax.grad(lambda factor: loss(factor).mean()))(1.0)
    assert curvature > 0.1 and abs(slope) < 0.02 * curvature


def test_the_velocity_weight_gives_the_squared_error_of_the_velocity():
    """Where x is 0, ŝ = −√v x_t − a F has the error ‖F − a ξ‖² for any F."""
    seen = []

    def scaled_score(params, x, t):
        a, noise = SCHEDULE.signal(t)[:, None], SCHEDULE.noise(t)[:, None]
        seen.append((a, x / noise))
        return -(noise * x + a * params)

    velocity = jnp.array([0.5, -0.2])
    found = denoising_loss(
        velocity, jax.random.key(0), jnp.zeros((500, 2)), scaled_score=scaled_score,
        schedule=SCHEDULE, weight=lambda t: SCHEDULE.signal(t) ** -2,
    )  # fmt: skip
    ((a, xi),) = seen
    expected = jnp.square(velocity - a * xi).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_times_are_uniform_and_spread_over_a_batch():
    seen = []

    def watching(params, x, t):
        seen.append(t)
        return jnp.zeros_like(x)

    for seed in range(200):
        denoising_loss(
            {}, jax.random.key(seed), jnp.zeros((5, 1)), scaled_score=watching,
            schedule=SCHEDULE,
        )  # fmt: skip
    times = np.stack(seen)
    assert times.min() >= SMALLEST_TIME and times.max() <= 1
    gaps = np.diff(np.sort(times, axis=1), axis=1)
    np.testing.assert_allclose(gaps, (1 - SMALLEST_TIME) / 5, rtol=1e-4)
    # Each datum's own time has the mean of a uniform one; 5 standard errors of 200.
    assert (abs(times.mean(0) - 0.5) < 5 / np.sqrt(12 * 200)).all()


def test_time_of_inverts_the_log_ratio():
    t = jnp.linspace(SMALLEST_TIME, 1, 50)
    ratio = SCHEDULE.log_ratio(t)
    np.testing.assert_allclose(SCHEDULE.time_of(ratio), t, rtol=2e-3)
    expected = jnp.log(SCHEDULE.signal(t) / SCHEDULE.noise(t))
    np.testing.assert_allclose(ratio, expected, rtol=1e-4, atol=1e-5)


def test_bounds_of_the_rate():
    assert order_faults("denoiser", 0.1, 20.0) == []
    assert order_faults("denoiser", 0.0, 0.0) == [
        "`denoiser.beta_max` is 0.0, expected > `beta_min` = 0.0",
    ]
