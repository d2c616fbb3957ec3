"""What a prior says of its mean and covariance is what its draws have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.priors.gmm import GaussianMixtureFamily
from jnf_jax.priors.laplace import LaplacePrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.priors.whitening import WhitenedPrior, identity

GMM = GaussianMixtureFamily(num_components=2).bind(
    {
        "logits": jnp.array([0.0, 1.0]),
        "means": jnp.array([[2.0, 0.0], [-1.0, 1.0]]),
        "factors": jnp.array([[[0.5, 0.0], [0.3, 0.4]], [[0.2, 0.0], [0.0, 1.0]]]),
    },
    2,
)
TURNED = identity(2)._replace(
    mean=jnp.array([1.0, -2.0]),
    axes=jnp.array([[0.8, -0.6], [0.6, 0.8]]),
    scales=jnp.array([2.0, 0.5]),
)


@pytest.mark.parametrize(
    "prior",
    [NormalPrior(2, jnp.array([0.5, 3.0])), LaplacePrior(2), GMM,
     WhitenedPrior(GMM, TURNED)],
    ids=["normal", "laplace", "gmm", "whitened"],
)  # fmt: skip
def test_moments_are_those_of_draws(prior):
    mean, covariance = jax.device_get(prior.moments())
    z = np.float64(prior.sample(jax.random.key(1), 50_000))
    sd = z.std(0)
    # 5 standard errors of 50,000 draws, or of the 2,048 that an unknown mean has.
    num = 2_048 if isinstance(prior, LaplacePrior) else 50_000
    assert (np.abs(mean - z.mean(0)) < 5 * sd / num**0.5).all()
    error = 5 * np.outer(sd, sd) * np.sqrt(6 / num)  # a Laplace's fourth moment is 6
    assert (np.abs(covariance - np.cov(z.T)) < error).all()
