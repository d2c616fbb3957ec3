"""The standard normal prior N(0, I)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class NormalPrior:
    """p(z) = N(z; 0, I) on D = ``latent_size`` dimensions; no parameters.

    ::

        log p(z) = −½ Σ_d ( z_d² + log 2π )
    """

    latent_size: int
    is_normalised: ClassVar[bool] = True
    mean: ClassVar[float] = 0.0
    scale: ClassVar[float] = 1.0

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Log density in nats, normalised."""
        return -0.5 * jnp.sum(jnp.square(z) + jnp.log(2 * jnp.pi), axis=-1)

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
        """``num_samples`` exact draws."""
        return jax.random.normal(rng_key, (num_samples, self.latent_size))
