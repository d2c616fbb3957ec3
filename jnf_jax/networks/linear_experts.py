"""The linear-Gaussian posterior of any subset of the views, in closed form."""

import flax.linen as nn
import jax
import jax.numpy as jnp

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
        batch = next(iter(given.values())).shape[0]
        precision = jnp.broadcast_to(jnp.eye(size), (batch, size, size))
        pull = jnp.zeros((batch, size))
        for m in sorted(features):
            factor = self.param(f"precision_{m}", small, (size, size))
            gain = self.param(f"gain_{m}", small, (features[m].shape[-1], size))
            offset = self.param(f"offset_{m}", nn.initializers.zeros, (size,))
            shown = given[m][:, None]
            pulled = jnp.where(shown, features[m], 0.0) @ gain + offset
            pull += jnp.where(shown, pulled, 0.0)
            precision += jnp.where(shown[..., None], factor @ factor.T, 0.0)
        root = cholesky(precision)
        mean = solve_lower(root, solve_lower(root, pull), transposed=True)
        return LinearCode(mean, root)
