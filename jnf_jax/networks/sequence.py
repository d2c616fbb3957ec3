"""Small Transformers for sequences: captions as one-hot tokens, pen strokes as points.

Pre-norm blocks (Xiong et al., 2020) with learnt positions and no dropout. A row of
zeros is padding: nothing attends to it, and it adds nothing to what is read out.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jnf_jax.networks.decoders import ACTIVATIONS
from jnf_jax.networks.gaussian import Features, MlpTrunk

Tokens = Float[Array, "batch tokens channels"]
"""A sequence, f32[B, T, C]."""

NUM_HEADS = 4
"""Heads of the attention in every block."""


class Block(nn.Module):
    """Attention, which reads only where ``mask`` is true, and a two-layer perceptron::

    h ← h + attention(norm(h));   h ← h + W₂ gelu(W₁ norm(h))
    """

    @nn.compact
    def __call__(
        self, h: Tokens, mask: Bool[Array, "batch 1 1 tokens"] | None = None
    ) -> Tokens:
        width = h.shape[-1]
        attention = nn.MultiHeadDotProductAttention(NUM_HEADS)
        h = h + attention(nn.LayerNorm()(h), mask=mask)
        inner = nn.gelu(nn.Dense(2 * width)(nn.LayerNorm()(h)))
        return h + nn.Dense(width)(inner)


class TransformerTrunk(nn.Module):
    """Blocks of equal ``widths`` over a sequence, flattened, then dense layers."""

    widths: tuple[int, ...]
    hidden_sizes: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Tokens) -> Features:
        present = jnp.any(x != 0, axis=-1)
        initializer = nn.initializers.normal(0.02)
        positions = self.param("positions", initializer, (x.shape[1], self.widths[0]))
        h = nn.Dense(self.widths[0])(x) + positions
        for _ in self.widths:
            h = Block()(h, present[:, None, None, :])
        h = jnp.where(present[..., None], nn.LayerNorm()(h), 0.0)
        return MlpTrunk(self.hidden_sizes)(h)


class TransformerDecoder(nn.Module):
    """All positions at once from one latent: not autoregressive, as the published ones.

    ::

        h_t = W MLP(z) + p_t;   blocks;   x_t = V norm(h_t)
    """

    shape: tuple[int, ...]
    widths: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: str

    @nn.compact
    def __call__(self, z: Features) -> Tokens:
        tokens, channels = self.shape
        # Of the size of what z says: at the start, positions alone tell tokens apart.
        initializer = nn.initializers.normal(1.0)
        positions = self.param("positions", initializer, (tokens, self.widths[0]))
        h = nn.Dense(self.widths[0])(MlpTrunk(self.hidden_sizes)(z))[:, None]
        h = h + positions
        for _ in self.widths:
            h = Block()(h)
        return ACTIVATIONS[self.activation](nn.Dense(channels)(nn.LayerNorm()(h)))
