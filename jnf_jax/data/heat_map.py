"""Vectors and sequences as pictures: a cell a value, from black (least) to white."""

import numpy as np
from jaxtyping import Float


def draw(
    values: Float[np.ndarray, "count ..."], *, low: float, high: float
) -> Float[np.ndarray, "count height width 1"]:
    """(x − low) / (high − low), clipped to [0, 1]; black where high is not above low.

    Vectors f32[N, F] are one row of F cells, sequences f32[N, T, C] a row a channel and
    a column a token, and f32[N, H, W, C] have their channels side by side.

    >>> draw(np.array([[0.0, 1.0, 2.0]]), low=0.0, high=2.0)[0, 0, :, 0]
    array([0. , 0.5, 1. ], dtype=float32)
    """
    values = np.asarray(values, np.float32)
    if values.ndim == 2:
        cells = values[:, None, :]
    elif values.ndim == 3:
        cells = values.transpose(0, 2, 1)
    else:
        count, height, width, channels = values.shape
        cells = values.transpose(0, 1, 3, 2).reshape(count, height, channels * width)
    span = high - low
    shown = (cells - low) / span if span > 0 else np.zeros_like(cells)
    return np.clip(shown, 0.0, 1.0).astype(np.float32)[..., None]
