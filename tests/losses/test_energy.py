"""The gradient of the energy: exactly the likelihood's where everything is Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.losses import energy_contrast, energy_magnitude

PARAMS = {"a": jnp.array([0.5, 2.0]), "b": jnp.array([1.0, -2.0])}


def tilt(params, z):
    """f(z) = −½ Σ a_d z_d² + Σ b_d z_d."""
    return jnp.sum(-0.5 * params["a"] * z**2 + params["b"] * z, axis=-1)


def exact_log_likelihood(params, z):
    """mean log p_α(z) for p_α = N(b/(1+a), 1/(1+a)), p_0 = N(0, I)."""
    a, b = params["a"], params["b"]
    log_z = jnp.sum(-0.5 * jnp.log1p(a) + b**2 / (2 * (1 + a)))
    log_reference = -0.5 * jnp.sum(z**2 + jnp.log(2 * jnp.pi), axis=-1)
    return jnp.mean(tilt(params, z) + log_reference) - log_z


def draws_with_exact_moments(params):
    """Draws of p_α, moved and scaled to have its mean and variance to rounding.

    f is quadratic, so nothing else of the negatives enters the gradient.
    """
    z = np.random.default_rng(0).standard_normal((101, 2))
    z = (z - z.mean(0)) / z.std(0)
    a, b = (np.asarray(params[name]) for name in "ab")
    return jnp.asarray(b / (1 + a) + z / np.sqrt(1 + a), jnp.float32)


def test_gradient_is_the_exact_likelihood_gradient():
    data = jax.random.normal(jax.random.key(0), (30, 2)) * 2 + jnp.array([1.0, 0.0])
    got = jax.grad(energy_contrast)(
        PARAMS, data, draws_with_exact_moments(PARAMS), tilt=tilt
    )
    expected = jax.grad(exact_log_likelihood)(PARAMS, data)
    for name in PARAMS:
        np.testing.assert_allclose(got[name], -expected[name], rtol=1e-4, atol=1e-5)


def test_gradient_vanishes_where_the_model_is_the_data():
    draws = draws_with_exact_moments(PARAMS)
    got = jax.grad(energy_contrast)(PARAMS, draws[::-1], draws, tilt=tilt)
    assert all(float(jnp.abs(g).max()) < 1e-5 for g in got.values())


def test_weights_stand_for_repeated_positives():
    data = jax.random.normal(jax.random.key(0), (3, 2))
    negatives = draws_with_exact_moments(PARAMS)
    repeated = data[jnp.array([0, 0, 1, 2])]
    weighted = energy_contrast(
        PARAMS, data, negatives, tilt=tilt, weights=jnp.array([0.5, 0.25, 0.25])
    )
    plain = energy_contrast(PARAMS, repeated, negatives, tilt=tilt)
    np.testing.assert_allclose(weighted, plain, rtol=1e-5)


def test_draws_get_no_gradient():
    data = jnp.ones((4, 2))
    for argument in (1, 2):
        gradient = jax.grad(energy_contrast, argnums=argument)(
            PARAMS, data, 2 * data, tilt=tilt
        )
        np.testing.assert_array_equal(gradient, 0)


def test_magnitude_is_the_mean_square_of_f():
    z = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    got = energy_magnitude(PARAMS, z, tilt=tilt)
    np.testing.assert_allclose(got, (0.75**2 + 3.0**2) / 2)
