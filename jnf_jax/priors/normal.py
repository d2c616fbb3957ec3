"""The normal prior, standard or with a scale a dimension."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import gaussian_kl
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.types import Draws, Latents, Nats, Params


@dataclasses.dataclass(frozen=True)
class NormalPrior(BoundPrior):
    """p(z) = Π_d N(z_d; 0, s_d²) on D = ``latent_size`` dimensions.

    ::

        log p(z) = −½ Σ_d ( z_d² / s_d² + log 2π s_d² )

    ``scale`` is the standard deviation s, a number or f32[D].
    """

    latent_size: int
    scale: float | Float[Array, " latent"] = 1.0
    mean: ClassVar[float] = 0.0

    @property
    def tail_precision(self) -> Float[Array, "*latent"]:
        """1/s²."""
        return jnp.asarray(self.scale) ** -2.0

    def moments(self) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """0 and diag s²."""
        variance = jnp.broadcast_to(jnp.square(self.scale), (self.latent_size,))
        return jnp.zeros(self.latent_size), jnp.diag(variance)

    def log_density(self, z: Latents) -> Nats:
        """Log density in nats, normalised."""
        scale = jnp.broadcast_to(self.scale, (self.latent_size,))
        per_dimension = jnp.square(z / scale) + jnp.log(2 * jnp.pi * scale**2)
        return -0.5 * jnp.sum(per_dimension, axis=-1)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` exact draws."""
        noise = jax.random.normal(rng_key, (num_samples, self.latent_size))
        return noise * self.scale


@dataclasses.dataclass(frozen=True)
class NormalFamily(PriorFamily):
    """N(0, I): the prior of both papers' baselines, with a KL in closed form."""

    name: str = "normal"
    is_learnt: ClassVar[bool] = False
    is_standard_normal: ClassVar[bool] = True
    is_normal: ClassVar[bool] = True
    log_ratio = staticmethod(gaussian_kl)

    def bind(self, params: Params, latent_size: int, encode=None) -> NormalPrior:
        return NormalPrior(latent_size)
