"""The PolyMNIST recipe: ink inverts the colours of a random crop of a background.

Source: the PolyMNIST creation routine (Sutter et al., 2021). Ours is a pure function
of (seed, split, index, modality), so a tuple has the same pixels in every epoch.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8, UInt32

from jnf_jax.data.dataset import SPLITS, Rows

_UNIT = np.float32(1.0 / 255.0)  # 255 · _UNIT is exactly 1 in float32


PURPOSES = ("crops", "pairing", "places")
"""Uses of a tuple's random numbers; each has keys of its own."""


def split_key(seed: int, split: str, purpose: str) -> UInt32[np.ndarray, "2"]:
    """The key of a split's crops, of its fresh pairing, or of the places of its digits.

    A tuple folds its index into it, and a crop or a place its modality. The generator
    is named, so that the pixels do not follow jax's default one.
    """
    number = PURPOSES.index(purpose) * len(SPLITS) + SPLITS.index(split)
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), number)
    return np.asarray(jax.random.key_data(key))


def _corners(
    key_data: UInt32[Array, "2"],
    modality: int,
    indices: Int[Array, " batch"],
    spans: Any,
) -> Int[Array, "batch 2"]:
    """Each tuple's (top, left) below ``spans``, all equally probable."""
    key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
    key = jax.random.fold_in(key, modality)

    def corner(index):
        return jax.random.randint(jax.random.fold_in(key, index), (2,), 0, spans)

    return jax.vmap(corner)(indices)


def random_crops(
    background: UInt8[Array, "rows columns 3"],
    key_data: UInt32[Array, "2"],
    modality: int,
    indices: Int[Array, " batch"],
    size: int,
) -> UInt8[Array, "batch size size 3"]:
    """One random ``size``² crop of a background for each tuple.

    The background is at least as large, ``key_data`` is `split_key` for "crops", and
    ``modality`` the position of the modality.
    """
    spans = jnp.array(background.shape[:2]) - size + 1

    def crop(corner):
        return jax.lax.dynamic_slice(background, (*corner, 0), (size, size, 3))

    return jax.vmap(crop)(_corners(key_data, modality, indices, spans))


def place_at_random(
    ink: Bool[Array, "batch side side"],
    key_data: UInt32[Array, "2"],
    modality: int,
    indices: Int[Array, " batch"],
    size: int,
) -> Bool[Array, "batch size size"]:
    """Each tuple's ink somewhere in a blank picture, all places equally probable.

    ``key_data`` is `split_key` for "places"; ``size`` is at least the side of the ink.
    """
    blank = jnp.zeros((size, size), bool)
    corners = _corners(key_data, modality, indices, size - ink.shape[-1] + 1)

    def place(corner, ink):
        return jax.lax.dynamic_update_slice(blank, ink, tuple(corner))

    return jax.vmap(place)(corners, ink)


def to_unit(pixels: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x / 255: f32 in [0, 1]."""
    return pixels.astype(jnp.float32) * _UNIT


def to_bytes(pixels: np.ndarray, name: str) -> np.ndarray:
    """8-bit pixels: u8 as it is; float in [0, 1] times 255, rounded.

    Raises:
      ValueError: another dtype, NaN or infinity, or values outside [0, 1]; the message
        begins with ``name``.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{name}: got dtype {pixels.dtype}, expected uint8 or float")
    if bad := int((~np.isfinite(pixels)).sum()):
        raise ValueError(f"{name}: {bad} values are NaN or infinite, expected none")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0.0 or high > 1.0:
        raise ValueError(f"{name}: got values in [{low}, {high}], expected [0, 1]")
    return np.round(pixels * 255.0).astype(np.uint8)


def invert_on_ink(
    crops: UInt8[Array, "batch height width 3"], ink: Bool[Array, "batch height width"]
) -> Float[Array, "batch height width 3"]:
    """x / 255 off the ink and (255 − x) / 255 on it: f32[B, height, width, 3]."""
    return to_unit(jnp.where(ink[..., None], jnp.uint8(255) - crops, crops))


def render_tuples(
    arrays: Mapping[str, Any],
    rows: Int[Array, "batch modality"],
    indices: Int[Array, " batch"],
    modalities: tuple[str, ...],
    size: int,
) -> dict[str, Float[Array, "batch size size 3"]]:
    """Draws the pictures of tuples over crops of the backgrounds, f32 in [0, 1].

    Args:
      arrays: ``ink`` bool[n, side, side]; ``backgrounds`` {modality: u8[rows, columns,
        3]}; ``crop_key`` u32[2], and ``place_key`` u32[2] where ink is smaller than
        the pictures.
      rows: i32[B, M] which ink each modality shows.
      indices: i32[B] number of each tuple, which fixes its crops and places.
      modalities: names, in the order of the columns of `rows`.
      size: side of the pictures.
    """
    views = {}
    for m, name in enumerate(modalities):
        ink = arrays["ink"][rows[:, m]]
        if ink.shape[-1] < size:
            ink = place_at_random(ink, arrays["place_key"], m, indices, size)
        background, key = arrays["backgrounds"][name], arrays["crop_key"]
        crops = random_crops(background, key, m, indices, size)
        views[name] = invert_on_ink(crops, ink)
    return views


def fetch_paired(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    *,
    modalities: tuple[str, ...],
    size: int,
) -> dict[str, Float[Array, "batch size size 3"]]:
    """`render_tuples` for rows of a stored pairing, ``arrays["pairing"]`` i32[N, M]."""
    arrays, indices = jax.tree.map(jnp.asarray, (arrays, indices))
    return render_tuples(arrays, arrays["pairing"][indices], indices, modalities, size)


def fetch_columns(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    *,
    columns: Mapping[str, int],
) -> dict[str, Float[Array, "batch ..."]]:
    """Stored bytes that a pairing brings together: {modality: f32[B, *shape]} / 255.

    ``arrays`` are {modality: u8[n, *shape]} and ``pairing`` i32[N, C]; ``columns`` says
    which column of the pairing holds a modality's rows.
    """
    rows = jnp.asarray(arrays["pairing"])[jnp.asarray(indices)]
    return {
        name: to_unit(jnp.asarray(arrays[name])[rows[:, column]])
        for name, column in columns.items()
    }


def fetch_stored(
    arrays: Mapping[str, Any],
    rows: Int[Array, " batch"] | Int[np.ndarray, " batch"] | Rows,
) -> dict[str, Float[Array, "batch ..."]]:
    """Views that are stored: {modality: f32[B, *shape]}, bytes divided by 255.

    They are ``rows`` of ``arrays``, or for ``Rows`` the views in these.
    """
    if isinstance(rows, Rows):
        stored = {m: jnp.asarray(x) for m, x in rows.views.items()}
    else:
        stored = {m: jnp.asarray(a)[jnp.asarray(rows)] for m, a in arrays.items()}
    return {m: to_unit(x) if x.dtype == jnp.uint8 else x for m, x in stored.items()}
