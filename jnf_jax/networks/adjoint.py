"""Strided convolution and transposed convolution as each other's adjoint.

XLA's CPU backward pass of a transposed convolution runs at a few per cent of the
machine's matmul rate, its strided forward convolution near the peak. A transposed
convolution *is* the gradient of a convolution in its input, so both derivatives can be
stated through the fast forward::

    down(y, w)[i] = sum_t y[s i + t - p] w[t]               (strided convolution)
    up(x, w)      = down(., w)^T x                          (its adjoint in y)
    d up:    dx = down(g, w),   dw = weight gradient of down(g, .) applied to x
    d down:  dy = up(g, w),     dw = weight gradient of down(y, .) applied to g

Values equal ``jax.lax.conv_general_dilated`` to float32 rounding (tested). Reverse mode
only: ``jax.jvp`` is not defined through ``jax.custom_vjp``.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Wide = Float[Array, "batch height width wide"]
Narrow = Float[Array, "batch rows columns narrow"]
Kernel = Float[Array, "size size wide narrow"]
"""``[k, k, C_y, C_x]``: ``down`` maps C_y channels to C_x, ``up`` maps them back."""

_FEW_CHANNELS = 16  # up to here the phases of a picture's pixels go together


def _convolve(x, w, stride, edges):
    layout = ("NHWC", "HWIO", "NHWC")
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(x, w, strides, edges, dimension_numbers=layout)


def plain_down(y: Wide, w: Kernel, *, stride: int, padding: int) -> Narrow:
    """``down`` by the library convolution, differentiable in both modes."""
    return _convolve(y, w, stride, [(padding, padding)] * 2)


def _adjoint(x, w, stride, padding, height, width):
    """The adjoint of ``plain_down`` by forward convolutions alone.

    Row s I + r of the uncropped result is the sum over q of x[I - q] w[s q + r]: each
    phase (r, r') of rows and columns is a convolution of its own by the kernel's taps
    of that phase, and depth-to-space puts the phases together.

    Phase by phase just the pixels that are kept are computed. Where the result has few
    channels, as a picture has, matrix products that narrow are slow: there all phases
    are channels of one convolution, and what the padding cuts off is computed too.
    """
    if w.shape[2] > _FEW_CHANNELS and w.shape[0] >= stride:
        return _by_phase(x, w, stride, padding, height, width)
    return _phases_at_once(x, w, stride, padding, height, width)


def _by_phase(x, w, stride, padding, height, width):
    """``_adjoint``, a convolution a phase: k = 3 has 4, 2, 2 and 1 taps of 16."""
    batch, size, wide = x.shape[0], w.shape[0], w.shape[2]
    counts = (-(-height // stride), -(-width // stride))

    def edges(first: int, axis: int) -> tuple[int, int]:
        # Pixel s a + first is row I = a + shift of its phase, and takes I - q >= 0.
        shift, phase = divmod(first + padding, stride)
        taps = len(range(phase, size, stride))
        last = shift + counts[axis] - 1
        return taps - 1 - shift, last - (x.shape[1 + axis] - 1)

    def pixels(i: int, j: int) -> Wide:
        taps = w[(i + padding) % stride :: stride, (j + padding) % stride :: stride]
        w_turned = taps[::-1, ::-1].swapaxes(2, 3)
        return _convolve(x, w_turned, 1, [edges(i, 0), edges(j, 1)])

    # [B, counts[0], i, counts[1], j, C_y]
    rows = [[pixels(i, j) for j in range(stride)] for i in range(stride)]
    full = jnp.stack([jnp.stack(row, axis=3) for row in rows], axis=2)
    full = full.reshape(batch, stride * counts[0], stride * counts[1], wide)
    return full[:, :height, :width]


def _phases_at_once(x, w, stride, padding, height, width):
    """``_adjoint`` with all phases as channels of one convolution."""
    batch, rows, columns, narrow = x.shape
    size, wide = w.shape[0], w.shape[2]
    taps = -(-size // stride)
    # A kernel whose size is no multiple of the stride gets zero taps at its far end.
    fill = taps * stride - size
    w = jnp.pad(w, ((0, fill), (0, fill), (0, 0), (0, 0)))
    w = w.reshape(taps, stride, taps, stride, wide, narrow)[::-1, :, ::-1]
    w = w.transpose(0, 2, 5, 1, 3, 4).reshape(taps, taps, narrow, -1)
    full = _convolve(x, w, 1, [(taps - 1, taps - 1)] * 2)
    rows, columns = rows + taps - 1, columns + taps - 1
    full = full.reshape(batch, rows, columns, stride, stride, wide)
    full = full.transpose(0, 1, 3, 2, 4, 5)
    full = full.reshape(batch, stride * rows, stride * columns, wide)
    # An output padding may reach past the last tap: those pixels are zero.
    below, right = height - full.shape[1], width - full.shape[2]
    short = [(0, max(0, padding + n)) for n in (below, right)]
    full = jnp.pad(full, ((0, 0), *short, (0, 0)))
    return full[:, padding : padding + height, padding : padding + width]


def _weight_gradient(y, x, size, stride, padding):
    kernel = jax.ShapeDtypeStruct((size, size, y.shape[-1], x.shape[-1]), x.dtype)
    down = functools.partial(plain_down, y, stride=stride, padding=padding)
    return jax.linear_transpose(lambda w: down(w=w), kernel)(x)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def down(y: Wide, w: Kernel, stride: int, padding: int) -> Narrow:
    """Strided convolution (torch's ``Conv2d`` geometry), see the module docstring.

    y f32[B, H, W, C_y], w f32[k, k, C_y, C_x] -> f32[B, ⌊(H + 2p - k)/s⌋ + 1, .., C_x],
    with s the ``stride`` in pixels and p the zeros of ``padding``, on all sides alike.
    """
    return plain_down(y, w, stride=stride, padding=padding)


def _down_forward(y, w, stride, padding):
    return down(y, w, stride, padding), (y, w)


def _down_backward(stride, padding, residuals, g):
    y, w = residuals
    dy = _adjoint(g, w, stride, padding, *y.shape[1:3])
    return dy, _weight_gradient(y, g, w.shape[0], stride, padding)


down.defvjp(_down_forward, _down_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def up(
    x: Narrow, w: Kernel, stride: int, padding: int, output_padding: int = 0
) -> Wide:
    """Transposed convolution (torch's ``ConvTranspose2d``), the adjoint of ``down``.

    x f32[B, h, w, C_x], w f32[k, k, C_y, C_x] ->
    f32[B, (h - 1) s - 2p + k + o, .., C_y], with o < s the rows and columns that
    ``output_padding`` adds at the far end.
    """
    height, width = (
        (n - 1) * stride - 2 * padding + w.shape[0] + output_padding
        for n in x.shape[1:3]
    )
    return _adjoint(x, w, stride, padding, height, width)


def _up_forward(x, w, stride, padding, output_padding):
    return up(x, w, stride, padding, output_padding), (x, w)


def _up_backward(stride, padding, output_padding, residuals, g):
    x, w = residuals
    dx = plain_down(g, w, stride=stride, padding=padding)
    return dx, _weight_gradient(g, x, w.shape[0], stride, padding)


up.defvjp(_up_forward, _up_backward)
