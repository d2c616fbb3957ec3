"""Long chains find the moments of a density, and say when they did not."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.evaluation.statistics.long_run import MALA, long_run
from jnf_jax.sampling import moments

MEAN, SD = jnp.array([1.0, -2.0]), jnp.array([0.5, 1.5])


@jax.jit
def run(rng_key, shift, start):
    """Half of N(MEAN + shift, SD²) and half of N(MEAN − shift, SD²)."""

    def log_density(z):
        halves = [jnp.sum(((z - MEAN - s) / SD) ** 2) for s in (shift, -shift)]
        return jax.nn.logsumexp(-0.5 * jnp.stack(halves))

    return long_run(rng_key, log_density, start)


def test_moments_of_a_gaussian_are_found_from_far_away():
    start = 5 * jax.random.normal(jax.random.key(0), (32, 2))
    found = run(jax.random.key(1), 0.0, start)
    assert found.draws.shape == (MALA.num_transitions // 10, 32, 2)
    assert float(found.diagnostics.rhat_max) < 1.05
    assert 0.4 < float(found.acceptance) < 0.75
    got = moments(found.draws.reshape(-1, 2))
    # 5 standard errors by the smallest effective sample size, of z and of z².
    num = float(found.diagnostics.ess_min)
    assert num > 500
    assert (jnp.abs(got.mean - MEAN) < 5 * SD / num**0.5).all()
    np.testing.assert_allclose(got.variance, SD**2, rtol=5 * (2 / num) ** 0.5)


def test_modes_between_which_no_chain_goes_are_told():
    shift = jnp.repeat(jnp.array([8.0, -8.0]), 16)[:, None]
    found = run(jax.random.key(0), 8.0, MEAN + shift * jnp.ones(2))
    assert float(found.diagnostics.rhat_max) > 1.5


def test_every_tenth_of_what_is_kept_is_a_draw(monkeypatch):
    """From the first kept step to the last, of chains that say which step it is."""
    numbers = jnp.broadcast_to(
        jnp.arange(1.0, 101)[:, None, None, None], (100, 2, 1, 3)
    )
    module = sys.modules[long_run.__module__]
    kept = types.SimpleNamespace(acceptance=jnp.ones((2, 1))), numbers
    monkeypatch.setattr(module, "burn_and_keep", lambda *args: kept)
    monkeypatch.setattr(module, "adapt_step_size", lambda *args: 0.1)
    found = long_run(jax.random.key(0), lambda z: -z @ z, jnp.zeros((2, 3)))
    np.testing.assert_array_equal(found.draws[:, 0, 0], np.arange(10, 101, 10))
    assert found.draws.shape == (10, 2, 3) and found.diagnostics.num_draws == 20
