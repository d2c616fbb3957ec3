"""Latent diffusion against the score that is known: that of a Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamNotFoundError

from jnf_jax import options
from jnf_jax.noise_schedule import NoiseSchedule
from jnf_jax.priors.diffusion import DiffusionFamily, DiffusionPrior

MEAN, SD = jnp.array([1.0, -0.5]), jnp.array([0.3, 1.2])
SCHEDULE = NoiseSchedule()


def exact(z, t):
    """ŝ of N(MEAN, SD²): −√v (z − a μ) / (a² σ² + v)."""
    a, noise = (f(t)[:, None] for f in (SCHEDULE.signal, SCHEDULE.noise))
    return -noise * (z - a * MEAN) / (a**2 * SD**2 + noise**2)


def test_schedule_keeps_unit_variance_and_ends_as_noise():

    @jax.jit
    def ask(t):
        slope = jax.vmap(jax.grad(lambda t: jnp.log(SCHEDULE.signal(t))))(t)
        return SCHEDULE.signal(t), SCHEDULE.noise(t), SCHEDULE.rate(t), slope

    t = np.linspace(0.01, 1, 20, dtype=np.float32)
    signal, noise, rate, slope = jax.device_get(ask(t))
    np.testing.assert_allclose(signal**2 + noise**2, 1, rtol=1e-5)
    # a(t) = exp(−½ ∫β): its logarithmic derivative is −½ β.
    np.testing.assert_allclose(slope, -0.5 * rate, rtol=1e-4)
    assert float(signal[-1]) < 0.01


def test_exact_score_samples_the_gaussian():
    prior = DiffusionPrior(exact, 2, SCHEDULE, num_steps=500)
    z = np.asarray(jax.jit(prior.sample, static_argnums=1)(jax.random.key(0), 20_000))
    # 5 standard errors, and 2 % for 500 Euler steps.
    error = 5 * np.asarray(SD) / 20_000**0.5 + 0.01
    assert (np.abs(z.mean(0) - np.asarray(MEAN)) < error).all()
    np.testing.assert_allclose(z.std(0), SD, rtol=0.045)

    @jax.jit
    def ask(x, t):
        a, noise = SCHEDULE.signal(t)[0], SCHEDULE.noise(t)[0]
        return prior.score(x, t)[0], -(1 - a * MEAN) / (a**2 * SD**2 + noise**2)

    got, expected = ask(np.ones((4, 2), np.float32), np.full(4, 0.5, np.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_the_last_step_has_no_noise():
    """One step alone, on the score of N(0, I): z (1 − ½ β Δ), β(1) = 20, Δ = 0.999."""
    prior = DiffusionPrior(lambda z, t: -SCHEDULE.noise(t)[:, None] * z, 2, SCHEDULE, 1)
    z = np.asarray(jax.jit(prior.sample, static_argnums=1)(jax.random.key(0), 20_000))
    # 5 standard errors of a sample sd; with noise it would be a tenth more.
    np.testing.assert_allclose(z.std(0), 8.99, rtol=5 / (2 * 20_000) ** 0.5)


def test_chains_climb_by_the_score():
    prior = DiffusionPrior(exact, 2, SCHEDULE, score_time=0.3)
    z = jnp.array([0.7, -2.0])

    @jax.jit
    def ask(z):
        a, noise = SCHEDULE.signal(jnp.array(0.3)), SCHEDULE.noise(jnp.array(0.3))
        expected = -(z - a * MEAN) / (a**2 * SD**2 + noise**2)
        return jax.value_and_grad(prior.chain_log_density)(z), expected

    (value, gradient), expected = ask(z)
    assert float(value) == 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)


def test_untrained_it_draws_from_the_standard_normal():
    family = DiffusionFamily(hidden_size=16, num_layers=2, num_steps=100)

    @jax.jit
    def draw(init_key, key):
        return family.bind(family.init(init_key, 3, {}), 3).sample(key, 20_000)

    z = np.asarray(draw(*jax.random.split(jax.random.key(0))))
    assert (np.abs(z.mean(0)) < 5 / 20_000**0.5).all()
    # 5 standard errors of an sd, and 2 % for 100 Euler steps.
    np.testing.assert_allclose(z.std(0), 1, rtol=0.045)


def test_parameters_of_a_whole_score_are_refused():
    """They have no "correction", and would be added to N(0, I)'s score."""
    family = DiffusionFamily(hidden_size=16, num_layers=1)
    params = dict(jax.jit(lambda key: family.init(key, 2, {}))(jax.random.key(0)))
    params["Dense_3"] = params.pop("correction")
    with pytest.raises(ScopeParamNotFoundError, match="correction"):
        family.scaled_score(params, jnp.zeros((1, 2)), jnp.ones(1))


def test_family():
    family = DiffusionFamily(hidden_size=16, num_layers=2, num_steps=5)
    params = jax.jit(lambda key: family.init(key, 2, {}))(jax.random.key(0))
    prior = family.bind(params, 2)
    draws = jax.eval_shape(lambda key: prior.sample(key, 7), jax.random.key(1))
    assert draws.shape == (7, 2)
    with pytest.raises(ValueError, match="no log density, .* `sample` or `score`"):
        prior.log_density(jnp.zeros(2))
    assert not options.faults(family)
    bad = DiffusionFamily(hidden_size=0, num_layers=0, num_steps=0, beta_min=0.0)
    assert len(options.faults(bad)) == 4
    (fault,) = options.faults(DiffusionFamily(score_time=1.0), "fitted_prior")
    assert fault.startswith("`fitted_prior.score_time` is 1.0, expected >= 0.001")
    (fault,) = options.faults(DiffusionFamily(beta_max=0.05), "fitted_prior")
    assert fault.startswith("`fitted_prior.beta_max` is 0.05, expected > `beta_min`")
