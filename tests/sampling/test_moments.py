"""Moments of laws whose moments are known."""

import jax
import numpy as np

from jnf_jax import sampling

moments, moment_gap = jax.jit(sampling.moments), jax.jit(sampling.moment_gap)


def standard_normal(*shape):
    return np.float32(np.random.default_rng(0).standard_normal(shape))


def test_moments_of_a_normal_and_a_laplace():
    num = 200_000
    normal = 1.0 + 2.0 * standard_normal(num)
    laplace = np.float32(np.random.default_rng(1).laplace(size=num))
    found = jax.device_get(moments(np.stack([normal, laplace], axis=-1)))
    # Standard errors: sd/√n; of a variance √((κ + 2)/n) of it; of a normal's excess
    # kurtosis √(24/n), of a Laplace's about √(2000/n).
    error = num**-0.5
    assert (np.abs(found.mean - [1.0, 0.0]) < 5 * 2 * error).all()
    np.testing.assert_allclose(found.variance, [4.0, 2.0], rtol=5 * 5**0.5 * error)
    assert abs(float(found.kurtosis[0])) < 5 * 24**0.5 * error
    assert abs(float(found.kurtosis[1]) - 3) < 5 * 2000**0.5 * error


def test_gap_is_in_units_of_the_reference():
    z = standard_normal(50, 2)
    reference = jax.device_get(moments(z))
    shift = np.float32([3, 4]) * np.sqrt(reference.variance)
    moved = 2 * (z - reference.mean) + shift + reference.mean
    gap = moment_gap(moments(moved), reference)
    np.testing.assert_allclose(gap.mean, (12.5) ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(gap.log_variance, np.log(4), rtol=1e-4)
    same = moment_gap(reference, reference)
    assert float(same.mean) == 0 == float(same.log_variance)


def test_equal_samples_have_the_gap_of_the_docstring():
    a, b = standard_normal(2, 1_000, 400)
    gap = moment_gap(moments(a), moments(b))
    # A root mean square over 400 dimensions has a relative sd of 1/√800.
    np.testing.assert_allclose(gap.mean, (2 / 1_000) ** 0.5, rtol=5 / 800**0.5)
    np.testing.assert_allclose(gap.log_variance, (4 / 1_000) ** 0.5, rtol=5 / 800**0.5)
