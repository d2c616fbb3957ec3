"""Decoders: from a latent to what a likelihood is made of."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnf_jax.networks.conv import ConvTranspose
from jnf_jax.networks.gaussian import Features, MlpTrunk, View

ACTIVATIONS = {"identity": lambda x: x, "sigmoid": jax.nn.sigmoid}
"""Functions that may follow a decoder."""


class MlpDecoder(nn.Module):
    """Dense layers with ReLU, then one to all pixels; computed in ``dtype``.

    With ``linear_path`` that one reads z as well: see ``MlpTrunk``.
    What likelihoods take, and the last activation, are float32: here and below.
    """

    shape: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: str
    dtype: str = "float32"
    linear_path: bool = False

    @nn.compact
    def __call__(self, z: Features) -> View:
        h = MlpTrunk(self.hidden_sizes, self.dtype, self.linear_path)(z)
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(h)
        x = x.reshape(-1, *self.shape).astype(jnp.float32)
        return ACTIVATIONS[self.activation](x)


class ConvDecoder(nn.Module):
    """The mirror image of ``ConvTrunk``: dense layers, then stride-2 transposed ones.

    The sizes that the encoder's convolutions pass through are passed in reverse, with
    an output padding of one where a size was odd.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...]
    kernel_size: int
    hidden_sizes: tuple[int, ...]
    activation: str
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: Features) -> View:
        k = self.kernel_size
        sizes = [self.shape[:2]]
        for _ in self.features:
            sizes.append(tuple((n + 2 - k) // 2 + 1 for n in sizes[-1]))
        (height, width), channels = sizes.pop(), self.features[-1]
        dense_sizes = (*self.hidden_sizes, height * width * channels)
        h = MlpTrunk(dense_sizes, self.dtype)(z)
        x = h.reshape(-1, height, width, channels)
        for features in (*self.features[-2::-1], self.shape[-1]):
            height, width = sizes.pop()
            fill = height - (2 * x.shape[1] - 4 + k)
            x = ConvTranspose(features, k, 2, 1, fill, self.dtype)(x)
            if sizes:
                x = nn.relu(x)
        return ACTIVATIONS[self.activation](x.astype(jnp.float32))
