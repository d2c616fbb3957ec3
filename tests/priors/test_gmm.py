"""EM on full covariances: a planted mixture is found, and what cannot be is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.priors.gmm import GaussianMixtureFamily

WEIGHTS = np.array([0.5, 0.2, 0.3])
MEANS = np.array([[-3.0, 0.5], [2.0, 2.5], [1.0, -3.0]])
FACTORS = np.array(
    [[[0.5, 0], [0.7, 0.4]], [[1.0, 0], [-0.5, 0.6]], [[0.6, 0], [0, 0.9]]]
)
PLANTED = {
    "logits": jnp.log(jnp.asarray(WEIGHTS, jnp.float32)),
    "means": jnp.asarray(MEANS, jnp.float32),
    "factors": jnp.asarray(FACTORS, jnp.float32),
}
FAMILY = GaussianMixtureFamily(num_components=3)


@pytest.fixture(scope="module")
def fitted():
    """Parameters fitted to 20,000 draws of the planted mixture."""
    truth = FAMILY.bind(PLANTED, 2)
    return FAMILY.fit(
        jax.random.key(1), np.asarray(truth.sample(jax.random.key(0), 20_000))
    )


def test_a_planted_mixture_is_found(fitted):
    truth, found = FAMILY.bind(PLANTED, 2), FAMILY.bind(fitted, 2)
    order = np.argsort(fitted["means"][:, 0])
    planted = np.argsort(MEANS[:, 0])
    # A component has at least 4,000 draws: 5 / √4,000 of a sd of at most 1.2.
    np.testing.assert_allclose(fitted["means"][order], MEANS[planted], atol=0.09)
    np.testing.assert_allclose(
        jax.nn.softmax(fitted["logits"])[order], WEIGHTS[planted], atol=0.018
    )  # 5 √(0.25 / 20,000)
    z = truth.sample(jax.random.key(2), 20_000)
    gap = truth.log_density(z) - found.log_density(z)
    # KL(truth ‖ fit) ≈ (17 free parameters) / (2 · 20,000) = 4e-4 nats, and its own
    # Monte-Carlo error.
    assert abs(gap.mean()) < 2e-3 + 5 * gap.std() / np.sqrt(len(z))
    assert gap.std() < 0.1


def test_factors_are_inverted_once_not_at_every_step_of_a_chain():
    density = jax.make_jaxpr(FAMILY.bind(PLANTED, 2).log_density)(jnp.zeros(2))
    assert "triangular_solve" not in str(density)


def test_draws_have_the_planted_moments(fitted):
    z = np.asarray(FAMILY.bind(fitted, 2).sample(jax.random.key(3), 50_000))
    mean = WEIGHTS @ MEANS
    covariances = FACTORS @ FACTORS.transpose(0, 2, 1)
    second = covariances + MEANS[:, :, None] * MEANS[:, None, :]
    covariance = np.einsum("c,cij->ij", WEIGHTS, second) - np.outer(mean, mean)
    # Two samples stand between: 20,000 draws fitted to, 50,000 of the fit.
    error = np.sqrt(np.diag(covariance) * (1 / 20_000 + 1 / 50_000))
    assert (np.abs(z.mean(0) - mean) < 5 * error).all()
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    error = scale * np.sqrt(2 * (1 / 20_000 + 1 / 50_000))
    assert (np.abs(np.cov(z.T) - covariance) < 5 * error).all()


def test_a_fit_has_the_shapes_of_init_and_follows_its_key(fitted):
    blank = FAMILY.init(jax.random.key(0), 2, {})
    shape = lambda tree: jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)  # noqa: E731
    assert shape(blank) == shape(fitted)
    z = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    one, two = (FAMILY.fit(jax.random.key(7), z) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_more_components_than_draws():
    with pytest.raises(
        ValueError, match="`num_components` is 3, expected at most the 2"
    ):
        FAMILY.fit(jax.random.key(0), np.zeros((2, 2), np.float32))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (dict(num_components=0), "num_components"),
        (dict(max_iterations=0), "max_iterations"),
        (dict(covariance_floor=-1.0), "covariance_floor"),
    ],
)
def test_faults_name_the_option(changes, field):
    (fault,) = options.faults(GaussianMixtureFamily(**changes), "fitted_prior")
    assert fault.startswith(f"`fitted_prior.{field}` is")
