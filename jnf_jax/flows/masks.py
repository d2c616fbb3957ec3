"""Masks of a masked autoencoder (MADE, arXiv 1502.03509): plain boolean constants.

Every unit has a degree. Inputs and outputs carry 1..D (D..1 in a reversed block),
context 0, hidden units are spread evenly. An edge into a hidden unit exists iff
deg_hidden >= deg_in, one into an output iff deg_out > deg_hidden; so output d reads
input i iff some hidden degree h has deg_i <= h < deg_d, whatever the depth. Where the
hidden width is below D that misses the nearest predecessors (about D/H of them), which
the direct edge input -> output (deg_out > deg_in) gives back.

Cycling the hidden degrees (k mod D), as is common, cuts off whole ranges of inputs when
D exceeds the width: at D = 512, H = 128 only 43 % of the edges exist, against 99.4 %.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int


class MadeMasks(NamedTuple):
    """Which edges exist; every mask is indexed ``[from, to]`` like a dense kernel.

    ``hidden`` has one mask a hidden layer, bool[D or H_{l-1}, H_l]; ``output`` is from
    the last of them, and ``direct``, strictly triangular, from input to output.
    """

    hidden: tuple[np.ndarray, ...]
    output: Bool[np.ndarray, "hidden latent"]
    direct: Bool[np.ndarray, "latent latent"]


def input_degrees(event_size: int, *, reverse: bool = False) -> Int[np.ndarray, " D"]:
    """Degrees of inputs and outputs: 1..D, or D..1 when ``reverse``; i64[D]."""
    if event_size < 1:
        raise ValueError(f"event_size: got {event_size}, expected at least 1")
    degrees = np.arange(1, event_size + 1)
    return degrees[::-1] if reverse else degrees


def hidden_degrees(
    event_size: int, hidden_size: int, *, has_context: bool
) -> Int[np.ndarray, " H"]:
    """Evenly spread degrees of one hidden layer, in rising order; i64[H].

    ``floor(k D / H)`` (0..D-1) with a context, ``1 + floor(k (D-1) / H)`` (1..D-1)
    without, k = 0..H-1. Degree 0 reads the context alone, so without one it would be
    wasted; only D = 1 has nothing else.
    """
    if hidden_size < 1:
        raise ValueError(f"hidden_size: got {hidden_size}, expected at least 1")
    k = np.arange(hidden_size)
    if has_context:
        return k * event_size // hidden_size
    return np.minimum(1 + k * (event_size - 1) // hidden_size, event_size - 1)


def made_masks(
    event_size: int,
    hidden_sizes: Sequence[int],
    *,
    has_context: bool,
    reverse: bool = False,
) -> MadeMasks:
    """The masks of a MADE on D coordinates with the given hidden layers.

    With a context hidden units of degree 0 have something to read; ``reverse`` runs the
    order from the last coordinate to the first.

    Raises:
        ValueError: If there is no hidden layer, or a size is below one.

    >>> masks = made_masks(3, [3], has_context=True)
    >>> masks.hidden[0].astype(int).tolist()  # unit k reads the inputs before k
    [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    >>> masks.output.astype(int).tolist()
    [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
    """
    if not hidden_sizes:
        raise ValueError("hidden_sizes: got none, expected at least one hidden layer")
    ends = input_degrees(event_size, reverse=reverse)
    layers = [ends]
    for size in hidden_sizes:
        layers.append(hidden_degrees(event_size, size, has_context=has_context))
    pairs = zip(layers[:-1], layers[1:], strict=True)
    hidden = tuple(before[:, None] <= after[None, :] for before, after in pairs)
    return MadeMasks(
        hidden=hidden,
        output=layers[-1][:, None] < ends[None, :],
        direct=ends[:, None] < ends[None, :],
    )
