"""The network of a diffusion of pictures, given a picture and a latent: a U-Net."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Conv, ConvTranspose, Pictures
from jnf_jax.networks.gaussian import Features
from jnf_jax.networks.score import time_features


class ModulatedBlock(nn.Module):
    """x + scale · conv(silu( (1 + g(c)) conv(silu(x)) + b(c) )), convolutions 3 × 3.

    ``context`` is c, ``scale`` starts at 0, and the block as the identity: it needs no
    normalisation.
    """

    @nn.compact
    def __call__(self, x: Pictures, context: Features) -> Pictures:
        channels = x.shape[-1]
        modulation = nn.Dense(2 * channels)(context)[:, None, None]
        gain, shift = jnp.split(modulation, 2, axis=-1)
        h = Conv(channels, 3, padding=1)(nn.silu(x)) * (1 + gain) + shift
        scale = self.param("scale", nn.initializers.zeros, (channels,))
        return x + scale * Conv(channels, 3, padding=1)(nn.silu(h))


class Denoiser(nn.Module):
    """(x_t, t, x̂, z) -> as many channels as x_t: ``features`` at full sides, ½, ¼, …

    Blocks at each of them, on the way down and on the way up; t in [0, 1] and z
    modulate their channels. Sides may be odd. The output starts at 0.
    """

    features: tuple[int, ...]
    num_blocks: int = 1

    @nn.compact
    def __call__(
        self, x: Pictures, t: Float[Array, " batch"], condition: Pictures, z: Features
    ) -> Pictures:
        context = jnp.concatenate([time_features(t), z], axis=-1)
        for _ in range(2):
            context = nn.silu(nn.Dense(4 * self.features[-1])(context))
        full, *halved = self.features
        h = Conv(full, 3, padding=1)(jnp.concatenate([x, condition], axis=-1))
        h, skips = self._blocks(h, context), []
        for size in halved:
            skips.append(h)
            h = self._blocks(Conv(size, 3, stride=2, padding=1)(h), context)
        for skip in reversed(skips):
            h = self._blocks(skip + _doubled(h, skip), context)
        zeros = nn.initializers.zeros
        last = nn.Dense(x.shape[-1], kernel_init=zeros, name="correction")
        return last(nn.silu(h))

    def _blocks(self, h: jax.Array, context: jax.Array) -> jax.Array:
        for _ in range(self.num_blocks):
            h = ModulatedBlock()(h, context)
        return h


def _doubled(h: jax.Array, like: jax.Array) -> jax.Array:
    """Back to the sides that ⌈n/2⌉ came from, which may have been odd."""
    # ConvTranspose fills both sides alike: an odd one is cropped off an even result.
    _, height, width, size = like.shape
    y = ConvTranspose(size, 3, stride=2, padding=1, output_padding=1)(h)
    return y[:, :height, :width]
