"""Moments of laws whose moments are known."""

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.sampling import moment_gap, moments


def test_moments_of_a_normal_and_a_laplace():
    num = 200_000
    normal = 1.0 + 2.0 * jax.random.normal(jax.random.key(0), (num,))
    laplace = jax.random.laplace(jax.random.key(1), (num,))
    found = moments(jnp.stack([normal, laplace], axis=-1))
    # Standard errors: sd/√n; of a variance √((κ + 2)/n) of it; of a normal's excess
    # kurtosis √(24/n), of a Laplace's about √(2000/n).
    error = num**-0.5
    assert (jnp.abs(found.mean - jnp.array([1.0, 0.0])) < 5 * 2 * error).all()
    np.testing.assert_allclose(found.variance, [4.0, 2.0], rtol=5 * 5**0.5 * error)
    assert abs(float(found.kurtosis[0])) < 5 * 24**0.5 * error
    assert abs(float(found.kurtosis[1]) - 3) < 5 * 2000**0.5 * error


def test_gap_is_in_units_of_the_reference():
    z = jax.random.normal(jax.random.key(0), (50, 2))
    reference = moments(z)
    sd = jnp.sqrt(reference.variance)
    gap = moment_gap(moments(2 * (z - reference.mean) + jnp.array([3.0, 4.0]) * sd
                             + reference.mean), reference)  # fmt: skip
    np.testing.assert_allclose(gap.mean, (12.5) ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(gap.log_variance, np.log(4), rtol=1e-4)
    same = moment_gap(reference, reference)
    assert float(same.mean) == 0 == float(same.log_variance)


def test_equal_samples_have_the_gap_of_the_docstring():
    a, b = jax.random.normal(jax.random.key(0), (2, 1_000, 400))
    gap = moment_gap(moments(a), moments(b))
    # A root mean square over 400 dimensions has a relative sd of 1/√800.
    np.testing.assert_allclose(gap.mean, (2 / 1_000) ** 0.5, rtol=5 / 800**0.5)
    np.testing.assert_allclose(gap.log_variance, (4 / 1_000) ** 0.5, rtol=5 / 800**0.5)
