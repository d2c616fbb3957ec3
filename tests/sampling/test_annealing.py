"""log Z of tilted Gaussians is what the closed form says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.sampling import log_normaliser

A, B = np.array([0.5, 3.0, 0.0]), np.array([1.0, -0.5, 0.7])
LOG_Z = float(np.sum(-0.5 * np.log1p(A) + B**2 / (2 * (1 + A))))


def start_of(num):
    return np.float32(np.random.default_rng(1).standard_normal((num, 3)))


def estimate(num_temperatures, num=2_000, step_size=0.2):
    @jax.jit
    def ask(rng_key, start):
        return log_normaliser(
            rng_key,
            lambda z: jnp.sum(-0.5 * A * z**2 + B * z),
            lambda z: -0.5 * jnp.sum(z**2 + jnp.log(2 * jnp.pi)),
            start,
            num_temperatures=num_temperatures,
            step_size=step_size,
        )

    return jax.device_get(ask(jax.random.key(0), start_of(num)))


def test_a_tilted_gaussian():
    found = estimate(100)
    assert 0 < found.standard_error < 0.03 and found.ess > 500
    # Five of the estimate's own standard errors.
    assert abs(found.value - LOG_Z) < 5 * found.standard_error


def test_few_temperatures_are_unbiased():
    """Each step leaves invariant the density that the next weight continues from.

    With three temperatures and steps that nearly forget, one that is off by one shows.
    """
    found = estimate(3, num=100_000, step_size=0.6)
    assert found.standard_error < 0.01
    assert abs(found.value - LOG_Z) < 4 * found.standard_error


def test_one_temperature_is_simple_importance_sampling():
    found = estimate(1, num=50_000)
    z = np.float64(start_of(50_000))
    weights = np.exp((-0.5 * A * z**2 + B * z).sum(-1))
    assert found.value == pytest.approx(np.log(weights.mean()), abs=1e-4)
    error = weights.std() / weights.mean() / np.sqrt(len(weights))
    assert found.standard_error == pytest.approx(error, rel=1e-2)
    assert found.ess == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-2)


def test_without_temperatures_or_chains():
    with pytest.raises(ValueError, match="`num_temperatures` is 0 and `start` has 5"):
        estimate(0, num=5)
    with pytest.raises(ValueError, match="has 1 chains, expected at least 1 and 2"):
        estimate(3, num=1)
