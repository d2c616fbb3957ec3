"""The linear-Gaussian posterior of any subset of the views, in closed form."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jnf_jax.flows.triangular import cholesky, solve_lower
from jnf_jax.types import LinearCode, Mask


class LinearExperts(nn.Module):
    """A product of one linear-Gaussian expert a view, and of N(0, I).

    ::

        N(μ_S, Λ_S⁻¹),   Λ_S = I + Σ_{m∈S} F_m F_mᵀ,   Λ_S μ_S = Σ_{m∈S} (G_m φ_m + g_m)

    F_m, G_m and g_m are learnt. In factor analysis, x_m = W_m z + c_m + ε_m with
    z ~ N(0, I) and ε_m ~ N(0, Ψ_m), this is p(z|x_S) of all 2^M subsets at once, with
    F_m = W_mᵀ Ψ_m^(−½) and a gain of W_mᵀ Ψ_m⁻¹ (x_m − c_m), as long as φ_m tells x_m.
    It starts near N(0, I). No parameter is called a kernel: weight decay, which would
    call for wide posteriors, leaves them alone.
    """

    latent_size: int

    @nn.compact
    def __call__(self, features: dict[str, jax.Array], given: Mask) -> LinearCode:
        """features {m: f32[B, H_m]}, given {m: bool[B]} -> mean and root of Λ."""
        size, small = self.latent_size, nn.initializers.normal(0.02)
        names = sorted(features)
        flags = jnp.stack([given[m] for m in names], axis=-1)
        pull = jnp.zeros((len(flags), size))
        products = []
        for place, m in enumerate(names):
            factor = self.param(f"precision_{m}", small, (size, size))
            gain = self.param(f"gain_{m}", small, (features[m].shape[-1], size))
            offset = self.param(f"offset_{m}", nn.initializers.zeros, (size,))
            shown = flags[:, place, None]
            pulled = jnp.where(shown, features[m], 0.0) @ gain + offset
            pull += jnp.where(shown, pulled, 0.0)
            products.append(factor @ factor.T)
        root = _roots(jnp.stack(products), flags)
        mean = solve_lower(root, solve_lower(root, pull), transposed=True)
        return LinearCode(mean, root)


def _roots(
    products: Float[Array, "views latent latent"], flags: Bool[Array, "batch views"]
) -> Float[Array, "batch latent latent"]:
    """The Cholesky factor of I + Σ_m b_m F_m F_mᵀ of every row b of ``flags``.

    It is of the subset alone: where there are fewer subsets than rows each is
    factorised once.
    """
    num, size = products.shape[:2]
    if 2**num < len(flags):
        every = (jnp.arange(2**num)[:, None] >> jnp.arange(num)) & 1 > 0
        number = flags.astype(jnp.int32) @ (1 << jnp.arange(num))
        return _roots(products, every)[number]
    own = jnp.einsum("bm,mij->bij", flags.astype(products.dtype), products)
    return cholesky(jnp.eye(size) + own)
