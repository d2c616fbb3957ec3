"""A linear map of a distribution, against NumPy's covariance and determinant."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.flows import coloured

RNG = np.random.default_rng(0)
MEAN = RNG.standard_normal((4, 3)).astype(np.float32)
ROOT = np.tril(RNG.standard_normal((4, 3, 3)), -1) + np.diag([0.5, 1.0, 2.0])
ROOT = ROOT.astype(np.float32)


def posterior():
    whitened = distrax.MultivariateNormalDiag(jnp.zeros((4, 3)), jnp.ones((4, 3)))
    return coloured(whitened, jnp.asarray(MEAN), jnp.asarray(ROOT))


def test_it_is_the_normal_of_that_precision_at_draws_and_elsewhere():
    z, log_q = posterior().sample_and_log_prob(
        seed=jax.random.key(0), sample_shape=20_000
    )
    precision = ROOT @ ROOT.swapaxes(-1, -2)
    off = np.asarray(z) - MEAN
    expected = -0.5 * np.einsum("sbi,bij,sbj->sb", off, precision, off)
    expected += 0.5 * np.linalg.slogdet(precision / (2 * np.pi))[1]
    np.testing.assert_allclose(log_q, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(posterior().log_prob(z), expected, rtol=1e-3, atol=1e-3)
    covariance = np.linalg.inv(precision)
    found = np.einsum("sbi,sbj->bij", off, off) / len(off)
    scale = np.sqrt(np.einsum("bii,bjj->bij", covariance, covariance))
    # Standard errors are at most √(2 / 20,000) of a scale.
    assert (np.abs(found - covariance) < 5 * np.sqrt(2 / len(off)) * scale).all()
