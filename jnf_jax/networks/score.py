"""The network of a latent diffusion: (z, t) -> what ŝ has beyond N(0, I)'s."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.types import Latents


def time_features(
    t: Float[Array, "*batch"], num_frequencies: int = 16
) -> Float[Array, "*batch features"]:
    """Sines and cosines of t at frequencies from 1 to 1,000, f32[*B, 2 × as many]."""
    phase = t[..., None] * jnp.logspace(0.0, 3.0, num_frequencies)
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)


class ScoreNetwork(nn.Module):
    """A residual MLP on latents; t in [0, 1] enters every layer as sines and cosines.

    There is one t a row, or several, f32[*B, M], as of latents in M parts.

    The last layer starts at zero; it is named, so that parameters of a whole score, as
    they were learnt at first, are refused.
    """

    hidden_size: int = 256
    num_layers: int = 3
    num_frequencies: int = 16

    @nn.compact
    def __call__(self, z: Latents, t: Float[Array, "*times"]) -> Latents:
        time = time_features(t, self.num_frequencies).reshape(*z.shape[:-1], -1)
        h = nn.Dense(self.hidden_size)(z)
        for _ in range(self.num_layers):
            update = nn.silu(h) + nn.Dense(self.hidden_size, use_bias=False)(time)
            h = h + nn.Dense(self.hidden_size)(nn.silu(nn.LayerNorm()(update)))
        zeros = nn.initializers.zeros
        last = nn.Dense(z.shape[-1], kernel_init=zeros, name="correction")
        return last(nn.silu(h))
