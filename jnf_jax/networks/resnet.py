"""Residual networks of pictures, as of MMVAE+ (Palumbo et al., 2023), one trunk.

No normalisation; every second size is half the one before.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Conv
from jnf_jax.networks.decoders import ACTIVATIONS
from jnf_jax.networks.gaussian import MlpTrunk

RESIDUAL_SCALE = 0.1
Maps = Float[Array, "batch height width channels"]


def _leaky(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


class ResidualBlock(nn.Module):
    """shortcut(x) + 0.1 · conv(leaky(conv(leaky(x)))), 3 × 3.

    The inner maps are as many as the fewer of those that come and go; the shortcut is
    linear where these differ in number.
    """

    features: int

    @nn.compact
    def __call__(self, x: Maps) -> Float[Array, "batch height width features"]:
        """x f32[B, H, W, C] -> f32[B, H, W, features]."""
        inner = min(x.shape[-1], self.features)
        h = Conv(inner, 3, padding=1)(_leaky(x))
        h = Conv(self.features, 3, padding=1)(_leaky(h))
        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, use_bias=False)(x)
        return x + RESIDUAL_SCALE * h


class ResidualTrunk(nn.Module):
    """A convolution, then a block for each of ``features``, averaging between them."""

    features: tuple[int, ...]
    hidden_sizes: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Maps) -> Float[Array, "batch features"]:
        """x f32[B, H, W, C] -> f32[B, features]."""
        x = Conv(self.features[0], 3, padding=1)(x)
        for i, features in enumerate(self.features):
            if i:
                x = nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
            x = ResidualBlock(features)(x)
        return MlpTrunk(self.hidden_sizes)(x)


class ResidualDecoder(nn.Module):
    """Its mirror image: dense layers, blocks with doubling between, a convolution."""

    shape: tuple[int, ...]
    features: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: str

    @nn.compact
    def __call__(self, z: Float[Array, "batch latent"]) -> Maps:
        """z f32[B, D] -> f32[B, H, W, C]."""
        factor = 2 ** (len(self.features) - 1)
        height, width = self.shape[0] // factor, self.shape[1] // factor
        h = MlpTrunk(self.hidden_sizes)(z)
        x = nn.Dense(height * width * self.features[-1])(h)
        x = x.reshape(-1, height, width, self.features[-1])
        narrower = (*self.features[-2::-1], self.features[0])
        for i, features in enumerate(narrower):
            if i:
                x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = ResidualBlock(features)(x)
        x = Conv(self.shape[-1], 3, padding=1)(_leaky(x))
        return ACTIVATIONS[self.activation](x)
