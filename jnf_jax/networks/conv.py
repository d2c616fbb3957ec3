"""Convolution layers that take the fast path of the backend they run on.

Kernels have one layout everywhere (``[k, k, wide, narrow]``, `adjoint.py`), so that a
checkpoint does not depend on the implementation: it is flax's own for ``Conv``, and
that of ``flax.linen.ConvTranspose(transpose_kernel=True)`` for ``ConvTranspose``.
"""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jnf_jax.networks import adjoint

Pictures = Float[Array, "batch height width channels"]
"""f32[B, H, W, C]."""

Maps = Float[Array, "batch _ _ _"]
"""f32[B, H', W', F], of other sides or channels."""


def _use_adjoint() -> bool:
    """Whether to state derivatives by hand: XLA's own are slow on CPU only."""
    return jax.default_backend() == "cpu"


class Conv(nn.Module):
    """Convolution with torch's ``Conv2d`` geometry, channels last.

    Sides become ⌊(H + 2p − k)/s⌋ + 1. ``dtype`` is that of the computation, here and
    below; parameters are float32.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Pictures) -> Maps:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
        if _use_adjoint():
            y = adjoint.down(x, kernel, self.stride, self.padding)
        else:
            y = adjoint.plain_down(x, kernel, stride=self.stride, padding=self.padding)
        return y + bias


class ConvTranspose(nn.Module):
    """Transposed convolution, torch's ``ConvTranspose2d`` geometry, channels last.

    Sides become (h − 1)s − 2p + k + output_padding. Each output pixel is reached by
    about (k/s)² taps of every input channel, which is the fan-in that the initial
    variance is divided by.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Pictures) -> Maps:
        k, s, p = self.kernel_size, self.stride, self.padding
        initializer = nn.initializers.variance_scaling(
            2.0 * s * s, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
        )
        kernel = self.param("kernel", initializer, (k, k, self.features, x.shape[-1]))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
        if _use_adjoint():
            y = adjoint.up(x, kernel, s, p, self.output_padding)
        else:
            edges = (k - 1 - p, k - 1 - p + self.output_padding)
            y = jax.lax.conv_transpose(
                x, kernel, (s, s), [edges, edges], transpose_kernel=True
            )
        return y + bias
