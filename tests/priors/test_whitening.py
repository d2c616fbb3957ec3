"""Whitened draws are white, nothing is lost on the way, densities keep their volume."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.priors.normal import NormalPrior
from jnf_jax.priors.whitening import WhitenedPrior, fit_whitening, identity


def narrow(num=5_000):
    """Draws of sd 10 and 0.01 along axes that are not those of the coordinates."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return rng.standard_normal((num, 3)) * [10.0, 1.0, 0.01] @ turn.T + [1.0, -2.0, 3.0]


def test_whitened_draws_have_mean_0_and_covariance_1_and_come_back():
    z = narrow()
    whitening = fit_whitening(z)
    u = whitening.whiten(jnp.asarray(z, jnp.float32))
    # float32 holds z to 1e-6 of 10, a hundredth of a hundredth of the narrow axis.
    np.testing.assert_allclose(u.mean(0), 0.0, atol=2e-3)
    np.testing.assert_allclose(jnp.cov(u.T), np.eye(3), atol=2e-3)
    np.testing.assert_allclose(whitening.colour(u), z, atol=1e-4)


def test_no_map_that_whitens_moves_points_less():
    """ZCA: E uᵀ(z − m) = tr C^(1/2), the most that any whitening has."""
    z = narrow()
    whitening = fit_whitening(z)
    u = np.asarray(whitening.whiten(jnp.asarray(z, jnp.float32)))
    agreement = np.sum(u * (z - z.mean(0)), axis=1).mean()
    roots = np.sqrt(np.linalg.eigvalsh(np.cov(z.T)))
    assert agreement == pytest.approx(roots.sum(), rel=1e-3)


def test_a_whitened_normal_is_the_normal_of_these_moments():
    z = narrow()
    prior = WhitenedPrior(NormalPrior(3), fit_whitening(z))
    mean, covariance = z.mean(0), np.cov(z.T)
    inverse, points = np.linalg.inv(covariance), z[:50]
    square = np.einsum("ni,ij,nj->n", points - mean, inverse, points - mean)
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    np.testing.assert_allclose(
        prior.log_density(jnp.asarray(points, jnp.float32)),
        -0.5 * (square + log_det),
        atol=2e-2,
    )
    assert prior.is_normalised
    draws = prior.sample(jax.random.key(0), 50_000)
    error = 5 * np.sqrt(np.diag(covariance) / 50_000)
    assert (np.abs(np.asarray(draws).mean(0) - mean) < error).all()
    np.testing.assert_allclose(
        jnp.cov(draws.T), covariance, atol=0.05 * covariance.max()
    )


def test_the_identity_changes_nothing():
    u = jax.random.normal(jax.random.key(0), (4, 3))
    np.testing.assert_allclose(identity(3).whiten(u), u, atol=1e-6)
    np.testing.assert_allclose(identity(3).colour(u), u, atol=1e-6)
    assert identity(3).log_volume == 0


@pytest.mark.parametrize(
    "z", [narrow(3), np.ones((10, 2)), np.arange(10.0)[:, None] * [1.0, 2.0]]
)
def test_draws_in_a_subspace_are_refused(z):
    with pytest.raises(ValueError, match="expected more draws than axes, and no axis"):
        fit_whitening(z)
