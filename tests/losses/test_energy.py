"""The gradient of the energy: exactly the likelihood's where everything is Gaussian."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import losses
from jnf_jax.losses import inference_loss, sampled_log_ratio, tilted_kl
from jnf_jax.priors.energy import EnergyTiltedPrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import LangevinSettings

energy_contrast = jax.jit(losses.energy_contrast, static_argnames="tilt")
generation_loss = jax.jit(losses.generation_loss, static_argnames="decode")

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
    data = np.random.default_rng(1).standard_normal((30, 2)) * 2 + [1.0, 0.0]
    data = np.float32(data)
    got = jax.grad(energy_contrast)(
        PARAMS, data, draws_with_exact_moments(PARAMS), tilt=tilt
    )
    expected = jax.jit(jax.grad(exact_log_likelihood))(PARAMS, data)
    for name in PARAMS:
        np.testing.assert_allclose(
            got[name], -np.asarray(expected[name]), rtol=1e-4, atol=1e-5
        )


def test_gradient_vanishes_where_the_model_is_the_data():
    draws = np.asarray(draws_with_exact_moments(PARAMS))
    got = jax.grad(energy_contrast)(PARAMS, draws[::-1].copy(), draws, tilt=tilt)
    assert all(np.abs(g).max() < 1e-5 for g in got.values())


WEIGHT, NOISE = jnp.array([[1.0, -0.5], [0.3, 0.8], [0.0, 1.2]]), 0.7
CODE = {"mean": jnp.array([0.4, -0.2]), "log_scale": jnp.array([-0.5, 0.2])}
SLOPE = jnp.array([0.6, -1.0])  # of f(z) = b·z: p_α = N(b, I)
X = jnp.array([0.5, -1.0, 0.25])


def decode(params, z):
    mean = z @ params["weight"].T
    return {"x": distrax.MultivariateNormalDiag(mean, jnp.full(mean.shape, NOISE))}


def expected_log_likelihood(weight, mean, variance):
    """E log N(x; W z, r²) of z ~ N(μ, S), up to a constant."""
    error = jnp.sum((X - weight @ mean) ** 2) + jnp.sum(weight**2 @ variance)
    return -error / (2 * NOISE**2)


def test_gradient_of_the_decoders_is_that_of_the_expected_log_likelihood():
    """z with the moments of N(b, I) to rounding; likelihoods are quadratic in z."""
    unit = np.random.default_rng(1).standard_normal((400, 2))
    unit = (unit - unit.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(unit.T))).T
    unit *= np.sqrt(400 / 399)
    z = jnp.asarray(np.asarray(SLOPE) + unit, jnp.float32)
    batch = {"x": jnp.tile(X, (400, 1))}
    got = jax.grad(generation_loss)({"weight": WEIGHT}, z, batch, decode=decode)

    def exact(weight):
        return -expected_log_likelihood(weight, SLOPE, jnp.ones(2))

    np.testing.assert_allclose(
        got["weight"], jax.jit(jax.grad(exact))(WEIGHT), rtol=1e-4
    )
    in_z = jax.grad(generation_loss, 1)({"weight": WEIGHT}, z, batch, decode=decode)
    assert not np.asarray(in_z).any()


def test_gradient_of_the_encoder_is_that_of_the_bound_with_the_tilted_prior():
    """−∂/∂φ ( E log p(x|z) − KL(N(μ, σ²) ‖ N(b, I)) ), for either log-ratio."""
    num = 200_000
    prior = EnergyTiltedPrior(lambda z: z @ SLOPE, NormalPrior(2), LangevinSettings())

    def encode(params, batch):
        shape = (len(batch["x"]), 2)
        return distrax.MultivariateNormalDiag(
            jnp.broadcast_to(params["mean"], shape),
            jnp.broadcast_to(jnp.exp(params["log_scale"]), shape),
        )

    def exact(params):
        mean, variance = params["mean"], jnp.exp(2 * params["log_scale"])
        kl = 0.5 * jnp.sum(variance + (mean - SLOPE) ** 2 - jnp.log(variance))
        return kl - expected_log_likelihood(WEIGHT, mean, variance)

    @functools.partial(jax.jit, static_argnums=1)
    def gradient(key, log_ratio):
        return jax.grad(inference_loss)(
            CODE, key, {"x": jnp.tile(X, (num, 1))}, encode=encode,
            decode=lambda z: decode({"weight": WEIGHT}, z), prior=prior,
            log_ratio=log_ratio,
        )  # fmt: skip

    expected = jax.device_get(jax.jit(jax.grad(exact))(CODE))
    for log_ratio in (sampled_log_ratio, tilted_kl):
        got = gradient(jax.random.key(0), log_ratio)
        # One draw's gradient has an sd of 10 at most here: 5 standard errors.
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, atol=50 / num**0.5)
        assert max(np.abs(value).max() for value in expected.values()) > 1


def test_weights_stand_for_repeated_positives():
    data = np.float32(np.random.default_rng(0).standard_normal((3, 2)))
    negatives = draws_with_exact_moments(PARAMS)
    repeated = data[[0, 0, 1, 2]]
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
    got = losses.energy_magnitude(PARAMS, z, tilt=tilt)
    np.testing.assert_allclose(got, (0.75**2 + 3.0**2) / 2)
