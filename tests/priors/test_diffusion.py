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
    t = jnp.linspace(0.01, 1, 20)
    signal, noise = SCHEDULE.signal(t), SCHEDULE.noise(t)
    np.testing.assert_allclose(signal**2 + noise**2, 1, rtol=1e-5)
    # a(t) = exp(−½ ∫β): its logarithmic derivative is −½ β.
    slope = jax.vmap(jax.grad(lambda t: jnp.log(SCHEDULE.signal(t))))(t)
    np.testing.assert_allclose(slope, -0.5 * SCHEDULE.rate(t), rtol=1e-4)
    assert float(signal[-1]) < 0.01


def test_exact_score_samples_the_gaussian():
    prior = DiffusionPrior(exact, 2, SCHEDULE, num_steps=500)
    z = jax.jit(prior.sample, static_argnums=1)(jax.random.key(0), 20_000)
    # 5 standard errors, and 2 % for 500 Euler steps.
    assert (jnp.abs(z.mean(0) - MEAN) < 5 * SD / 20_000**0.5 + 0.01).all()
    np.testing.assert_allclose(z.std(0), SD, rtol=0.045)
    t = jnp.full(4, 0.5)
    x = jnp.ones((4, 2))
    a, noise = float(SCHEDULE.signal(t)[0]), float(SCHEDULE.noise(t)[0])
    np.testing.assert_allclose(
        prior.score(x, t)[0], -(1 - a * MEAN) / (a**2 * SD**2 + noise**2), rtol=1e-4
    )


def test_chains_climb_by_the_score():
    prior = DiffusionPrior(exact, 2, SCHEDULE, score_time=0.3)
    z = jnp.array([0.7, -2.0])
    value, gradient = jax.value_and_grad(prior.chain_log_density)(z)
    assert value == 0
    t = jnp.array(0.3)
    a, noise = SCHEDULE.signal(t), SCHEDULE.noise(t)
    np.testing.assert_allclose(
        gradient, -(z - a * MEAN) / (a**2 * SD**2 + noise**2), rtol=1e-4
    )


def test_untrained_it_draws_from_the_standard_normal():
    family = DiffusionFamily(hidden_size=16, num_layers=2, num_steps=100)
    prior = family.bind(family.init(jax.random.key(0), 3, {}), 3)
    z = prior.sample(jax.random.key(1), 20_000)
    assert (jnp.abs(z.mean(0)) < 5 / 20_000**0.5).all()
    # 5 standard errors of an sd, and 2 % for 100 Euler steps.
    np.testing.assert_allclose(z.std(0), 1, rtol=0.045)


def test_parameters_of_a_whole_score_are_refused():
    """They have no "correction", and would be added to N(0, I)'s score."""
    family = DiffusionFamily(hidden_size=16, num_layers=1)
    params = dict(family.init(jax.random.key(0), 2, {}))
    params["Dense_3"] = params.pop("correction")
    with pytest.raises(ScopeParamNotFoundError, match="correction"):
        family.scaled_score(params, jnp.zeros((1, 2)), jnp.ones(1))


def test_family():
    family = DiffusionFamily(hidden_size=16, num_layers=2, num_steps=5)
    params = family.init(jax.random.key(0), 2, {})
    prior = family.bind(params, 2)
    assert prior.sample(jax.random.key(1), 7).shape == (7, 2)
    with pytest.raises(ValueError, match="no log density, .* `sample` or `score`"):
        prior.log_density(jnp.zeros(2))
    assert not options.faults(family)
    bad = DiffusionFamily(hidden_size=0, num_layers=0, num_steps=0, beta_min=0.0)
    assert len(options.faults(bad)) == 4
    (fault,) = options.faults(DiffusionFamily(score_time=1.0), "fitted_prior")
    assert fault.startswith("`fitted_prior.score_time` is 1.0, expected >= 0.001")
    (fault,) = options.faults(DiffusionFamily(beta_max=0.05), "fitted_prior")
    assert fault.startswith("`fitted_prior.beta_max` is 0.05, expected > `beta_min`")
