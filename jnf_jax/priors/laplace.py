"""The Laplace prior, and one whose kink at zero is rounded off."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.types import Draws, Latents, Nats, Params

_TABLE_SIZE = 8_192
_TABLE_TAIL = 40.0  # in units of b: e^-40 of the mass lies outside


@dataclasses.dataclass(frozen=True)
class LaplacePrior(BoundPrior):
    """p(z) = Π_d exp(−|z_d|/b_d) / 2b_d: the reference of arXiv 2409.19862.

    ``scale`` is b, a number or f32[D]; the standard deviation is √2 b. The gradient
    jumps at 0, where step-size rules of gradient samplers do not hold.
    """

    latent_size: int
    scale: float | Float[Array, " latent"] = 1.0

    def log_density(self, z: Latents) -> Nats:
        """Log density in nats, normalised."""
        scale = jnp.broadcast_to(self.scale, (self.latent_size,))
        return -jnp.sum(jnp.abs(z) / scale + jnp.log(2 * scale), axis=-1)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` exact draws."""
        noise = jax.random.laplace(rng_key, (num_samples, self.latent_size))
        return noise * self.scale


@dataclasses.dataclass(frozen=True)
class SmoothedLaplacePrior(BoundPrior):
    """A Laplace prior with |z| replaced by √(z² + δ²) − δ: smooth everywhere.

    ::

        log p(z) = −Σ_d [ (√(z_d² + δ²) − δ)/b + log 2δ K_1(δ/b) e^{δ/b} ]

    It has the Laplace's tails and, within δ of 0, a Gaussian's curvature 1/(bδ). The
    normaliser (the Bessel term) and the quantiles that draws go through come from one
    table, summed once in float64; errors of both are below 1e-5.

    ``scale`` is b and ``width`` δ, the same in every dimension.
    """

    latent_size: int
    scale: float = 1.0
    width: float = 0.1

    def __post_init__(self):
        for field in ("scale", "width"):
            if not getattr(self, field) > 0:
                raise ValueError(f"`{field}` is {getattr(self, field)}, expected > 0")

    def log_density(self, z: Latents) -> Nats:
        """Log density in nats, normalised."""
        rounded = jnp.sqrt(jnp.square(z) + self.width**2) - self.width
        log_normaliser, _, _ = _table(self.scale, self.width)
        return -jnp.sum(rounded / self.scale + log_normaliser, axis=-1)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` draws by inverting the table: exact to its resolution."""
        side_key, size_key = jax.random.split(rng_key)
        shape = (num_samples, self.latent_size)
        _, log_survival, sizes = _table(self.scale, self.width)
        level = jnp.log1p(-jax.random.uniform(size_key, shape))
        size = jnp.interp(-level, jnp.asarray(-log_survival), jnp.asarray(sizes))
        return jnp.where(jax.random.bernoulli(side_key, shape=shape), size, -size)


@functools.lru_cache
def _table(scale: float, width: float) -> tuple[float, np.ndarray, np.ndarray]:
    """log ∫ exp(−(√(z²+δ²)−δ)/b) dz, and log P(|z| > t) at increasing t."""
    # Even in asinh(t/δ): fine where the density is round, coarse where it is a tail.
    tail = _TABLE_TAIL * scale + width
    t = width * np.sinh(np.linspace(0, np.arcsinh(tail / width), _TABLE_SIZE))
    density = np.exp(-(np.sqrt(t**2 + width**2) - width) / scale)
    pieces = np.diff(t) * (density[1:] + density[:-1]) / 2
    above = np.concatenate([np.cumsum(pieces[::-1])[::-1], [0.0]])
    above += scale * density[-1]  # what lies beyond the table, an exponential tail
    survival = np.log(above) - np.log(above[0])
    log_normaliser = float(np.log(2 * above[0]))
    return log_normaliser, survival.astype(np.float32), t.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class LaplaceFamily(PriorFamily):
    """A fixed Laplace prior."""

    name: str = "laplace"
    scale: float = option(1.0, "b.", above=0)
    is_learnt: ClassVar[bool] = False

    def bind(self, params: Params, latent_size: int, encode=None) -> LaplacePrior:
        return LaplacePrior(latent_size, self.scale)


@dataclasses.dataclass(frozen=True)
class SmoothedLaplaceFamily(PriorFamily):
    """A fixed, smoothed Laplace prior."""

    name: str = "smoothed_laplace"
    scale: float = option(1.0, "b.", above=0)
    width: float = option(0.1, "δ.", above=0)
    is_learnt: ClassVar[bool] = False

    def bind(self, params: Params, latent_size: int, encode=None) -> BoundPrior:
        return SmoothedLaplacePrior(latent_size, self.scale, self.width)
