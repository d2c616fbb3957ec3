"""A Gaussian mixture with full covariances, fitted afterwards by scikit-learn's EM.

What MultiVae fits to the embeddings of a trained model, with ten components, before it
draws jointly from one with a poor prior.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, Encode, PriorFamily
from jnf_jax.types import Params


@dataclasses.dataclass(frozen=True)
class GaussianMixturePrior(BoundPrior):
    """p(z) = Σ_c π_c N(z; μ_c, L_c L_cᵀ): a mixture with full covariances.

    Attributes:
        logits: Of the weights, π = softmax(logits), f32[C].
        means: μ, f32[C, D].
        factors: L, lower triangular with a positive diagonal, f32[C, D, D].
        inverses: L⁻¹, f32[C, D, D]: found once, outside of chains on the density.
    """

    logits: Float[Array, " components"]
    means: Float[Array, "components latent"]
    factors: Float[Array, "components latent latent"]
    inverses: Float[Array, "components latent latent"]

    @property
    def latent_size(self) -> int:
        """D."""
        return self.means.shape[-1]

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Log density in nats, normalised."""
        u = jnp.einsum("cij,...cj->...ci", self.inverses, z[..., None, :] - self.means)
        diagonal = jnp.diagonal(self.factors, axis1=-2, axis2=-1)
        log_kernel = -0.5 * jnp.sum(
            jnp.square(u) + jnp.log(2 * jnp.pi), axis=-1
        ) - jnp.sum(jnp.log(diagonal), axis=-1)
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + log_kernel, axis=-1)

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
        """``num_samples`` exact draws."""
        component_key, noise_key = jax.random.split(rng_key)
        c = jax.random.categorical(component_key, self.logits, shape=(num_samples,))
        noise = jax.random.normal(noise_key, (num_samples, self.latent_size))
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

    def init(
        self, rng_key: jax.Array, latent_size: int, shapes: Mapping[str, tuple]
    ) -> Params:
        """{"logits": f32[C], "means": f32[C, D], "factors": f32[C, D, D]} of N(0, I).

        The shapes of what ``fit`` gives; nothing is learnt from these numbers.
        """
        del rng_key, shapes
        eye = jnp.eye(latent_size)
        return {
            "logits": jnp.zeros(self.num_components),
            "means": jnp.zeros((self.num_components, latent_size)),
            "factors": jnp.tile(eye, (self.num_components, 1, 1)),
        }

    def fit(self, rng_key: jax.Array, z: Float[np.ndarray, "draws latent"]) -> Params:
        """The parameters that EM finds from one k-means start, on the host.

        Args:
            rng_key: Typed key; seeds the start.
            z: What to fit, f32[N, D].

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

    def bind(
        self, params: Params, latent_size: int, encode: Encode | None = None
    ) -> GaussianMixturePrior:
        """The mixture."""
        del encode
        factors = params["factors"]
        identity = jnp.broadcast_to(jnp.eye(latent_size), factors.shape)
        inverses = jax.scipy.linalg.solve_triangular(factors, identity, lower=True)
        return GaussianMixturePrior(**params, inverses=inverses)
