"""A Gaussian mixture with full covariances, fitted afterwards by scikit-learn's EM.

MultiVae fits one with ten components to the embeddings of a trained model whose own
prior is poor, before it draws jointly.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.sampling.one_by_one import one_by_one
from jnf_jax.types import Draws, Latents, Nats, Params, Shapes


@dataclasses.dataclass(frozen=True)
class GaussianMixturePrior(BoundPrior):
    """p(z) = Σ_c π_c N(z; μ_c, L_c L_cᵀ): a mixture with full covariances.

    Attributes:
        logits: The weights are π = softmax(logits), f32[C].
        means: μ, f32[C, D].
        factors: L, lower triangular with a positive diagonal, f32[C, D, D].
        inverses: L⁻¹, f32[C, D, D]: found once, outside of chains on the density.
    """

    logits: Float[Array, " components"]
    means: Float[Array, "components latent"]
    factors: Float[Array, "components latent latent"]
    inverses: Float[Array, "components latent latent"]

    def log_density(self, z: Latents) -> Nats:
        """Log density in nats, normalised."""
        u = jnp.einsum("cij,...cj->...ci", self.inverses, z[..., None, :] - self.means)
        diagonal = jnp.diagonal(self.factors, axis1=-2, axis2=-1)
        log_kernel = -0.5 * jnp.sum(
            jnp.square(u) + jnp.log(2 * jnp.pi), axis=-1
        ) - jnp.sum(jnp.log(diagonal), axis=-1)
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + log_kernel, axis=-1)

    def moments(self) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """Mean and covariance."""
        weights = jax.nn.softmax(self.logits)
        mean = weights @ self.means
        spread = jnp.concatenate(
            [self.factors, (self.means - mean)[..., None]], axis=-1
        )
        return mean, jnp.einsum("c,cik,cjk->ij", weights, spread, spread)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` exact draws."""
        component_key, noise_key = jax.random.split(rng_key)
        c = jax.random.categorical(component_key, self.logits, shape=(num_samples,))
        noise = jax.random.normal(noise_key, (num_samples, self.means.shape[-1]))
        return self.means[c] + jnp.einsum("nij,nj->ni", self.factors[c], noise)


@dataclasses.dataclass(frozen=True)
class GaussianMixtureFamily(PriorFamily):
    """A mixture that EM fits in one go, not by gradient."""

    name: str = "gmm"
    num_components: int = option(10, "Number of components, C.", at_least=1)
    max_iterations: int = option(
        200,
        "Iterations of EM; where it has not converged by then, scikit-learn warns.",
        at_least=1,
    )
    covariance_floor: float = option(
        1e-6, "Added to the diagonal of every covariance.", at_least=0
    )
    stages: ClassVar[tuple[str, ...]] = ("prior",)

    @property
    def is_normal(self) -> bool:
        """Of one component."""
        return self.num_components == 1

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """N(0, I) in every component, in the shapes that ``fit`` gives."""
        return {
            "logits": jnp.zeros(self.num_components),
            "means": jnp.zeros((self.num_components, latent_size)),
            "factors": jnp.tile(jnp.eye(latent_size), (self.num_components, 1, 1)),
        }

    def fit(self, rng_key: jax.Array, z: Float[np.ndarray, "draws latent"]) -> Params:
        """The parameters that EM finds from one k-means start, seeded by the key.

        Raises:
            ValueError: If there are fewer draws than components.
        """
        from sklearn.mixture import GaussianMixture

        if len(z) < self.num_components:
            raise ValueError(
                f"`num_components` is {self.num_components}, expected at most the "
                f"{len(z)} draws that it is fitted to"
            )
        found = GaussianMixture(
            self.num_components,
            covariance_type="full",
            reg_covar=self.covariance_floor,
            max_iter=self.max_iterations,
            random_state=int(jax.random.bits(rng_key) >> 1),
        ).fit(np.asarray(z, np.float64))
        params = {
            "logits": np.log(found.weights_),
            "means": found.means_,
            "factors": np.linalg.cholesky(found.covariances_),
        }
        return {name: jnp.asarray(x, jnp.float32) for name, x in params.items()}

    def bind(self, params: Params, latent_size: int, encode=None) -> BoundPrior:
        # Nothing is learnt here by gradient.
        inverses = jax.vmap(_inverse)(jax.lax.stop_gradient(params["factors"]))
        return GaussianMixturePrior(**params, inverses=inverses)


@one_by_one
def _inverse(
    factor: Float[Array, "latent latent"],
) -> Float[Array, "latent latent"]:
    """Of a lower triangular matrix."""
    identity = jnp.eye(len(factor))
    return jax.scipy.linalg.solve_triangular(factor, identity, lower=True)
