"""A posterior of what a Gaussian leaves open, as one of z."""

import distrax
from jaxtyping import Array, Float

from jnf_jax.types import Latents


def coloured(
    whitened: distrax.Distribution,
    mean: Latents,
    root: Float[Array, "*batch latent latent"],
) -> distrax.Distribution:
    """The law of z = μ + C⁻ᵀ u, where ``whitened`` is that of u, and C is ``root``.

    ::

        q(z) = q_u(Cᵀ (z − μ)) Π_d C_dd

    The standard normal gives N(μ, (C Cᵀ)⁻¹). C is lower triangular; its diagonal is
    positive.
    """
    back = distrax.TriangularLinear(root.swapaxes(-1, -2), is_lower=False)
    shift = distrax.Block(distrax.Shift(mean), 1)
    # The last is the first that u passes.
    bijector = distrax.Chain([shift, distrax.Inverse(back)])
    return distrax.Transformed(whitened, bijector)
