"""Coordinates in which draws have mean 0 and covariance I, and a prior told in them.

An aggregate posterior can be far from round (docs/math.md has an example). A density
that starts as N(0, I), or a Langevin chain with one step size for all directions, then
fails along the narrow axes.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.priors.family import BoundPrior
from jnf_jax.types import Draws, Latents, Nats


class Whitening(NamedTuple):
    """u = V diag(1/s) Vᵀ (z − m), where the draws' covariance is V diag(s²) Vᵀ.

    It moves points least of all maps that whiten (ZCA).

    Attributes:
        mean: m, f32[D].
        axes: V, the principal axes as columns, f32[D, D].
        scales: s, the standard deviations along them, f32[D].
    """

    mean: Float[Array, " latent"]
    axes: Float[Array, "latent latent"]
    scales: Float[Array, " latent"]

    def whiten(self, z: Latents) -> Latents:
        """z -> u."""
        return (z - self.mean) @ self.matrix

    def colour(self, u: Latents) -> Latents:
        """u -> z."""
        return self.mean + u @ self.root

    @property
    def root(self) -> Float[Array, "latent latent"]:
        """V diag(s) Vᵀ, symmetric: z = m + root u."""
        return (self.axes * self.scales) @ self.axes.T

    @property
    def matrix(self) -> Float[Array, "latent latent"]:
        """W = V diag(1/s) Vᵀ, symmetric: u = W (z − m)."""
        return (self.axes / self.scales) @ self.axes.T

    @property
    def log_volume(self) -> Float[Array, ""]:
        """log |det dz/du| = Σ log s."""
        return jnp.sum(jnp.log(self.scales))


class Tilted(NamedTuple):
    """An ``EnergyTiltedPrior`` of u, and the coordinates u of it and its chains.

    ``whitening`` is z -> u: the identity where it is learnt with the model.
    """

    of_u: BoundPrior
    whitening: Whitening


def identity(latent_size: int) -> Whitening:
    """u = z."""
    return Whitening(
        jnp.zeros(latent_size), jnp.eye(latent_size), jnp.ones(latent_size)
    )


def fit_whitening(z: Float[np.ndarray, "draws latent"]) -> Whitening:
    """The whitening by the moments of draws f32[N, D], in float64 on the host.

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
    """log p(z) = log p_u(u) − Σ log s, with u the whitened z and p_u ``of_u``."""

    of_u: BoundPrior
    whitening: Whitening

    @property
    def is_normalised(self) -> bool:
        """As p_u."""
        return self.of_u.is_normalised

    def moments(self) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """Those of p_u, coloured."""
        mean, covariance = self.of_u.moments()
        root = self.whitening.root
        return self.whitening.colour(mean), root @ covariance @ root

    def log_density(self, z: Latents) -> Nats:
        """Nats; normalised, or refused, as p_u's is."""
        log_density = self.of_u.log_density(self.whitening.whiten(z))
        return log_density - self.whitening.log_volume

    def chain_log_density(self, z: Latents) -> Nats:
        """As ``log_density``, by p_u's own."""
        log_density = self.of_u.chain_log_density(self.whitening.whiten(z))
        return log_density - self.whitening.log_volume

    def as_tilted(self) -> Tilted | None:
        """That of p_u, seen from z."""
        tilted = self.of_u.as_tilted()
        return tilted and tilted._replace(whitening=self.whitening)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` draws of p_u, in z's coordinates."""
        return self.whitening.colour(self.of_u.sample(rng_key, num_samples))
