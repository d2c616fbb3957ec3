"""An energy-based prior: a reference density, tilted by a learnt function."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.sampling import LangevinRun, LangevinSettings, run_langevin
from jnf_jax.types import Prior


@dataclasses.dataclass(frozen=True)
class EnergyTiltedPrior:
    """p(z) = exp(f(z) − κ‖z‖²) p_0(z) / Z (arXiv 2006.08205, 2409.19862).

    ::

        log p(z) = f(z) − κ‖z‖² + log p_0(z) − log Z;      energy = −log p(z) − log Z

    Z is not known, so ``log_density`` misses it and no likelihood can be built on it.
    Draws are those of short-run Langevin, T steps from p_0: what a short-run model has
    learnt is the law of that chain, and exp(f) p_0 itself may differ from it. f ≡ 0
    gives p_0.

    With a Laplace reference of scale b the tilted density is integrable only where f
    grows more slowly than |z|/b, which the confinement κ > 0 ensures.

    Attributes:
        tilt: f, z f32[*B, D] -> f32[*B], nats.
        reference: p_0.
        langevin: T and step size.
        confinement: κ ≥ 0.
    """

    tilt: Callable[[jax.Array], jax.Array]
    reference: Prior
    langevin: LangevinSettings
    confinement: float = 0.0
    is_normalised: ClassVar[bool] = False

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """f(z) − κ‖z‖² + log p_0(z); nats, up to log Z."""
        log_tilt = self.tilt(z) - self.confinement * jnp.sum(jnp.square(z), axis=-1)
        return log_tilt + self.reference.log_density(z)

    def log_prob(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Refused: nobody knows Z.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "an energy-based prior has no normalised log-probability, got a call of "
            "`log_prob`; expected `log_density`, which misses log Z"
        )

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
        """``num_samples`` ends of short runs that start at draws of p_0."""
        return self.run(rng_key, num_samples)[0]

    def run(
        self, rng_key: jax.Array, num_samples: int
    ) -> tuple[Float[Array, "num_samples latent"], LangevinRun]:
        """As ``sample``, and how the chains did."""
        start_key, run_key = jax.random.split(rng_key)
        start = self.reference.sample(start_key, num_samples)
        return run_langevin(run_key, self.log_density, start, self.langevin)
