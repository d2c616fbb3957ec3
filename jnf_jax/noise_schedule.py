"""The noise of a diffusion (VP-SDE, arXiv 2011.13456); losses and samplers share it.

::

    β(t) = β_min + t (β_max − β_min),    a(t) = exp(−¼ t² (β_max − β_min) − ½ t β_min)
    x_t = a(t) x_0 + √v(t) ξ,            v(t) = 1 − a(t)²
    ŝ(x_t, t) ≈ −E[ξ | x_t],             ∇log p_t(x) = ŝ(x, t) / √v(t)
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

SMALLEST_TIME = 1e-3
"""Where the noise ends: v(t) → 0 makes the score of a draw unbounded."""


@dataclasses.dataclass(frozen=True)
class NoiseSchedule:
    """β(t), linear; hashable."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def rate(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """β(t)."""
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def signal(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """a(t)."""
        return jnp.exp(self._log_signal(t))

    def noise(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """√v(t)."""
        return jnp.sqrt(-jnp.expm1(2 * self._log_signal(t)))

    def log_ratio(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """λ(t) = log a(t) − log √v(t), falling."""
        return self._log_signal(t) - jnp.log(self.noise(t))

    def time_of(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """t(λ), the inverse of ``log_ratio``: −log a = ½ log(1 + e^(−2λ))."""
        fall = 0.5 * jnp.logaddexp(0.0, -2 * log_ratio)
        slope, half = self.beta_max - self.beta_min, 0.5 * self.beta_min
        # ¼ t² slope + t half = fall, without cancellation at small t.
        return 2 * fall / (half + jnp.sqrt(half**2 + slope * fall))

    def _log_signal(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        slope = self.beta_max - self.beta_min
        return -0.25 * jnp.square(t) * slope - 0.5 * t * self.beta_min


def order_faults(field: str, beta_min: float, beta_max: float) -> list[str]:
    """Whether β(t) of options ``beta_min`` and ``beta_max`` grows, one line if not."""
    if beta_max > beta_min:
        return []
    return [f"`{field}.beta_max` is {beta_max}, expected > `beta_min` = {beta_min}"]
