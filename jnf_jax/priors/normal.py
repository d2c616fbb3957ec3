"""The normal prior, standard or with a scale a dimension."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import LogRatio, gaussian_kl
from jnf_jax.priors.family import BoundPrior, Encode, Fixed
from jnf_jax.types import Params


@dataclasses.dataclass(frozen=True)
class NormalPrior(BoundPrior):
    """p(z) = Π_d N(z_d; 0, s_d²) on D = ``latent_size`` dimensions.

    ::

        log p(z) = −½ Σ_d ( z_d² / s_d² + log 2π s_d² )

    Attributes:
        latent_size: D.
        scale: s, a number or f32[D]; standard deviations.
    """

    latent_size: int
    scale: float | Float[Array, " latent"] = 1.0
    mean: ClassVar[float] = 0.0

    @property
    def tail_precision(self) -> Float[Array, "*latent"]:
        """1/s²."""
        return jnp.asarray(self.scale) ** -2.0

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Log density in nats, normalised."""
        scale = jnp.broadcast_to(self.scale, (self.latent_size,))
        per_dimension = jnp.square(z / scale) + jnp.log(2 * jnp.pi * scale**2)
        return -0.5 * jnp.sum(per_dimension, axis=-1)

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
        """``num_samples`` exact draws."""
        noise = jax.random.normal(rng_key, (num_samples, self.latent_size))
        return noise * self.scale


@dataclasses.dataclass(frozen=True)
class NormalFamily(Fixed):
    """N(0, I): the prior of both papers' baselines."""

    name: str = "normal"
    is_standard_normal: ClassVar[bool] = True

    @property
    def log_ratio(self) -> LogRatio:
        """KL(q ‖ p) in closed form."""
        return gaussian_kl

    def bind(
        self, params: Params, latent_size: int, encode: Encode | None = None
    ) -> NormalPrior:
        """N(0, I)."""
        del params, encode
        return NormalPrior(latent_size)
