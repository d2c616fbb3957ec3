"""Residual encoder trunk and decoder of the MMVAE+ family, for images."""

import math

import flax.linen as nn
import jax.numpy as jnp

from jnf_jax.networks.conv import Conv, Maps, Pictures
from jnf_jax.networks.decoders import ACTIVATIONS
from jnf_jax.networks.gaussian import Features, MlpTrunk

_SLOPE = 0.2
_BRANCH_WEIGHT = 0.1


class ResidualBlock(nn.Module):
    """x + 0.1 conv(l(conv(l(x)))), l a LeakyReLU of slope 0.2, convolutions 3 × 3.

    The first convolution has min(channels of x, ``features``) channels; where x has
    other channels than the output, it goes through a 1 × 1 convolution without bias.
    """

    features: int

    @nn.compact
    def __call__(self, x: Pictures) -> Maps:
        channels = x.shape[-1]
        h = nn.leaky_relu(x, _SLOPE)
        h = Conv(min(channels, self.features), 3, padding=1)(h)
        h = Conv(self.features, 3, padding=1)(nn.leaky_relu(h, _SLOPE))
        if channels != self.features:
            x = nn.Dense(self.features, use_bias=False, name="shortcut")(x)
        return x + _BRANCH_WEIGHT * h


class ResidualTrunk(nn.Module):
    """A convolution and a block, then pooling by 2 and a block for each further size.

    Pooling averages 3 × 3 pixels at stride 2; what lies outside counts as 0.
    """

    features: tuple[int, ...]
    hidden_sizes: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Pictures) -> Features:
        x = Conv(self.features[0], 3, padding=1)(x)
        x = ResidualBlock(self.features[0])(x)
        for size in self.features[1:]:
            x = nn.avg_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
            x = ResidualBlock(size)(x)
        return MlpTrunk(self.hidden_sizes)(x)


class ResidualDecoder(nn.Module):
    """The mirror image of ``ResidualTrunk``, sizes doubled by repeating pixels."""

    shape: tuple[int, ...]
    features: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: str

    @nn.compact
    def __call__(self, z: Features) -> Maps:
        factor = 2 ** (len(self.features) - 1)
        small = (*(n // factor for n in self.shape[:2]), self.features[-1])
        h = MlpTrunk(self.hidden_sizes)(z)
        x = nn.Dense(math.prod(small))(h).reshape(-1, *small)
        for size in self.features[-2::-1]:
            x = ResidualBlock(size)(x)
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = nn.leaky_relu(ResidualBlock(self.features[0])(x), _SLOPE)
        x = Conv(self.shape[-1], 3, padding=1)(x)
        return ACTIVATIONS[self.activation](x)
