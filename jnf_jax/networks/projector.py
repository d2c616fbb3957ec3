"""Projectors g: from one modality to a few numbers that tell what it shares."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnf_jax.networks.gaussian import Features, View


class Projector(nn.Module):
    """g(x) = W trunk(x) + b."""

    trunk: nn.Module
    size: int

    @nn.compact
    def __call__(self, x: View) -> Features:
        return nn.Dense(self.size, name="embedding")(self.trunk(x))


class SphereProjector(nn.Module):
    """g(x) = v / ‖v‖ with v = head(silu(base(trunk(x)))), base and head affine.

    The parameters "head" fit any modality's projector: one may serve them all, as in
    GMC (arXiv 2202.03390).
    """

    trunk: nn.Module
    base_size: int
    size: int

    @nn.compact
    def __call__(self, x: View) -> Features:
        h = nn.silu(nn.Dense(self.base_size, name="base")(self.trunk(x)))
        v = nn.Dense(self.size, name="head")(h)
        return v * jax.lax.rsqrt(jnp.sum(v * v, axis=-1, keepdims=True) + 1e-12)
