"""The network of a diffusion of pictures, given a picture: a small U-Net."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Conv, ConvTranspose
from jnf_jax.networks.score import time_features

_WIDTH_AT_FULL_SIZE = 16


class TimedBlock(nn.Module):
    """x + scale · conv(silu( (1 + g(t)) conv(silu(x)) + b(t) )), convolutions 3 × 3.

    ``scale`` starts at 0, and the block as the identity: it needs no normalisation.
    """

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        time: Float[Array, "batch features"],
    ) -> Float[Array, "batch height width channels"]:
        """x f32[B, H, W, C], time f32[B, F] -> f32[B, H, W, C]."""
        channels = x.shape[-1]
        modulation = nn.Dense(2 * channels)(time)[:, None, None]
        gain, shift = jnp.split(modulation, 2, axis=-1)
        h = Conv(channels, 3, padding=1)(nn.silu(x)) * (1 + gain) + shift
        scale = self.param("scale", nn.initializers.zeros, (channels,))
        return x + scale * Conv(channels, 3, padding=1)(nn.silu(h))


class Denoiser(nn.Module):
    """(x_t, t, x̂) -> as many channels as x_t: halved for each size, and back again.

    The first layer already halves the picture and the last doubles it, for full
    resolution is what costs time. Sides may be odd. The output starts at 0.
    """

    features: tuple[int, ...]
    num_blocks: int = 1

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        t: Float[Array, " batch"],
        condition: Float[Array, "batch height width channels"],
    ) -> Float[Array, "batch height width channels"]:
        """x, condition f32[B, H, W, C], t f32[B] in [0, 1] -> f32[B, H, W, C]."""
        time = nn.silu(nn.Dense(4 * self.features[0])(time_features(t)))
        given = jnp.concatenate([x, condition], axis=-1)
        h, skips = given, []
        for size in self.features:
            skips.append(h)
            h = Conv(size, 3, stride=2, padding=1)(h)
            for _ in range(self.num_blocks):
                h = TimedBlock()(h, time)
        for size in self.features[-2::-1]:
            skip = skips.pop()
            h = skip + _doubled(size, h, skip)
            for _ in range(self.num_blocks):
                h = TimedBlock()(h, time)
        h = jnp.concatenate([_doubled(_WIDTH_AT_FULL_SIZE, h, given), given], axis=-1)
        h = Conv(_WIDTH_AT_FULL_SIZE, 3, padding=1)(nn.silu(h))
        return nn.Dense(x.shape[-1], kernel_init=nn.initializers.zeros)(nn.silu(h))


def _doubled(
    features: int,
    h: Float[Array, "batch rows columns wide"],
    like: Float[Array, "batch height width channels"],
) -> Float[Array, "batch height width features"]:
    """Back to the sides that ⌈n/2⌉ came from, which may have been odd."""
    # ConvTranspose fills both sides alike: an odd one is cropped off an even result.
    y = ConvTranspose(features, 3, stride=2, padding=1, output_padding=1)(h)
    return y[:, : like.shape[1], : like.shape[2]]
