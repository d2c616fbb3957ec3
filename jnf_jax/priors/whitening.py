"""Coordinates in which draws have mean 0 and covariance I, and a prior told in them.

An aggregate posterior can be far from round (docs/math.md has an example). A density
that starts as N(0, I), or a Langevin chain with one step size for all directions, then
fails along the narrow axes.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.priors.family import BoundPrior


class Whitening(NamedTuple):
    """u = V diag(1/s) Vᵀ (z − m), where the draws' covariance is V diag(s²) Vᵀ.

    Of all maps that whiten, the one that moves points least (ZCA).

    Attributes:
        mean: m, f32[D].
        axes: V, the principal axes as columns, f32[D, D].
        scales: s, the standard deviations along them, f32[D].
    """

    mean: Float[Array, " latent"]
    axes: Float[Array, "latent latent"]
    scales: Float[Array, " latent"]

    def whiten(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch latent"]:
        """z -> u."""
        return (z - self.mean) @ self.matrix

    def colour(self, u: Float[Array, "*batch latent"]) -> Float[Array, "*batch latent"]:
        """u -> z."""
        return self.mean + u @ ((self.axes * self.scales) @ self.axes.T)

    @property
    def matrix(self) -> Float[Array, "latent latent"]:
        """W = V diag(1/s) Vᵀ, symmetric: u = W (z − m)."""
        return (self.axes / self.scales) @ self.axes.T

    @property
    def log_volume(self) -> Float[Array, ""]:
        """log |det dz/du| = Σ log s."""
        return jnp.sum(jnp.log(self.scales))


class Tilted(NamedTuple):
    """An energy-based prior, and the coordinates u in which it and its chains are.

    Attributes:
        of_u: The ``EnergyTiltedPrior`` of u.
        whitening: z -> u; the identity of one that is learnt with the model.
    """

    of_u: BoundPrior
    whitening: Whitening


def identity(latent_size: int) -> Whitening:
    """u = z."""
    return Whitening(
        jnp.zeros(latent_size), jnp.eye(latent_size), jnp.ones(latent_size)
    )


def fit_whitening(z: Float[np.ndarray, "draws latent"]) -> Whitening:
    """By the moments of the draws, in float64 on the host.

    Args:
        z: f32[N, D].

    Raises:
        ValueError: If the draws lie in a subspace, as D or fewer must.
    """
    z = np.asarray(z, np.float64)
    variances, axes = np.linalg.eigh(np.cov(z.T).reshape(z.shape[1], -1))
    smallest = np.finfo(np.float32).eps * variances[-1]
    if len(z) <= z.shape[1] or not variances[0] > smallest:
        raise ValueError(
            f"{len(z)} draws of q(z|X) have variances from {variances[0]:.2g} to "
            f"{variances[-1]:.2g} along their {z.shape[1]} principal axes, expected "
            "more draws than axes, and no axis along which all are the same"
        )
    parts = (z.mean(0), axes, np.sqrt(variances))
    return Whitening(*(jnp.asarray(part, jnp.float32) for part in parts))


@dataclasses.dataclass(frozen=True)
class WhitenedPrior(BoundPrior):
    """log p(z) = log p_u(u) − Σ log s, u the whitened z.

    Attributes:
        of_u: p_u.
        whitening: z -> u.
    """

    of_u: BoundPrior
    whitening: Whitening

    @property
    def is_normalised(self) -> bool:
        """As p_u."""
        return self.of_u.is_normalised

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Nats; normalised, or refused, as p_u's is."""
        log_density = self.of_u.log_density(self.whitening.whiten(z))
        return log_density - self.whitening.log_volume

    def chain_log_density(
        self, z: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch"]:
        """As ``log_density``, by p_u's own."""
        log_density = self.of_u.chain_log_density(self.whitening.whiten(z))
        return log_density - self.whitening.log_volume

    def as_tilted(self) -> Tilted | None:
        """That of p_u, seen from z."""
        tilted = self.of_u.as_tilted()
        return tilted and tilted._replace(whitening=self.whitening)

    @property
    def log_prob(self) -> Callable[[jax.Array], jax.Array]:
        """As ``log_density``, where p_u has it: an energy's refuses."""
        log_prob = self.of_u.log_prob
        return lambda z: log_prob(self.whitening.whiten(z)) - self.whitening.log_volume

    @property
    def score(self) -> Callable[[jax.Array, jax.Array], jax.Array]:
        """(z f32[N, D], t f32[N]) -> Wᵀ ∇_u log p_u,t(u), f32[N, D], where p_u has it.

        ∇ of log p_u,t in z's coordinates: the noise is that of u.
        """
        score = self.of_u.score
        return lambda z, t: score(self.whitening.whiten(z), t) @ self.whitening.matrix

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
        """``num_samples`` draws of p_u, in z's coordinates."""
        return self.whitening.colour(self.of_u.sample(rng_key, num_samples))
