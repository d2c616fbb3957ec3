"""A posterior of what a Gaussian leaves open, as one of z."""

import distrax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.flows.triangular import solve_lower
from jnf_jax.types import Latents, Nats


class Colouring(distrax.Bijector):
    """z = μ + C⁻ᵀ u; C is lower triangular, its diagonal positive.

    ``forward`` is u -> z. μ f32[*B, D] and C f32[*B, D, D] have the batch of what
    passes, or part of it from behind.
    """

    def __init__(self, mean: Latents, root: Float[Array, "*batch latent latent"]):
        super().__init__(event_ndims_in=1)
        self._mean, self._root = mean, root

    def _log_det(self, like: Latents) -> Nats:
        diagonal = jnp.diagonal(self._root, axis1=-2, axis2=-1)
        return jnp.broadcast_to(jnp.log(diagonal).sum(-1), like.shape[:-1])

    def forward_and_log_det(self, x: Latents) -> tuple[Latents, Nats]:
        """u -> z and log|det dz/du|."""
        z = self._mean + solve_lower(self._root, x, transposed=True)
        return z, -self._log_det(z)

    def inverse_and_log_det(self, y: Latents) -> tuple[Latents, Nats]:
        """z -> u = Cᵀ (z − μ) and log|det du/dz|."""
        u = jnp.einsum("...ji,...j->...i", self._root, y - self._mean)
        return u, self._log_det(u)


def coloured(
    whitened: distrax.Distribution,
    mean: Latents,
    root: Float[Array, "*batch latent latent"],
) -> distrax.Distribution:
    """The law of z = μ + C⁻ᵀ u, where ``whitened`` is that of u, and C is ``root``.

    ::

        q(z) = q_u(Cᵀ (z − μ)) Π_d C_dd

    The standard normal gives N(μ, (C Cᵀ)⁻¹).
    """
    return distrax.Transformed(whitened, Colouring(mean, root))
