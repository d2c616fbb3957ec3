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
"""What random numbers of a tuple are for; each has keys of its own."""


def split_key(seed: int, split: str, purpose: str) -> UInt32[np.ndarray, "2"]:
    """The key of a split's crops, of its fresh pairing, or of the places of its digits.

    A tuple folds its index into it, and a crop or a place its modality. The generator
    is named, so that the pixels do not follow jax's default one.
    """
    number = PURPOSES.index(purpose) * len(SPLITS) + SPLITS.index(split)
    key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), number)
    return np.asarray(jax.random.key_data(key))


def random_crops(
    background: UInt8[Array, "rows columns 3"],
    key_data: UInt32[Array, "2"],
    modality: int,
    indices: Int[Array, " batch"],
    size: int,
) -> UInt8[Array, "batch size size 3"]:
    """One random ``size``² crop of a background for each tuple.

    Args:
      background: u8[rows, columns, 3], at least ``size`` both ways.
      key_data: u32[2] from `split_key`, for "crops".
      modality: position of the modality, folded into the key.
      indices: i32[B] tuples.
      size: side of the crop in pixels.

    Returns:
      u8[B, size, size, 3].
    """
    key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
    key = jax.random.fold_in(key, modality)
    spans = jnp.array([background.shape[0], background.shape[1]]) - size + 1

    def crop(index):
        top, left = jax.random.randint(jax.random.fold_in(key, index), (2,), 0, spans)
        return jax.lax.dynamic_slice(background, (top, left, 0), (size, size, 3))

    return jax.vmap(crop)(indices)


def place_at_random(
    ink: Bool[Array, "batch side side"],
    key_data: UInt32[Array, "2"],
    modality: int,
    indices: Int[Array, " batch"],
    size: int,
) -> Bool[Array, "batch size size"]:
    """Each tuple's ink somewhere in a blank picture, all places equally probable.

    Args:
      ink: bool[B, side, side].
      key_data: u32[2] from `split_key`, for "places".
      modality: position of the modality, folded into the key.
      indices: i32[B] tuples.
      size: side of the picture, at least that of the ink.

    Returns:
      bool[B, size, size].
    """
    key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
    key = jax.random.fold_in(key, modality)
    blank, span = jnp.zeros((size, size), bool), size - ink.shape[-1] + 1

    def place(index, ink):
        corner = jax.random.randint(jax.random.fold_in(key, index), (2,), 0, span)
        return jax.lax.dynamic_update_slice(blank, ink, (corner[0], corner[1]))

    return jax.vmap(place)(indices, ink)


def to_unit(pixels: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x / 255: f32 in [0, 1]."""
    return pixels.astype(jnp.float32) * _UNIT


def to_bytes(pixels: np.ndarray, name: str) -> np.ndarray:
    """8-bit pixels: u8 as it is; float in [0, 1] times 255, rounded.

    Args:
      pixels: u8 or float array.
      name: what the messages call it.

    Raises:
      ValueError: another dtype, NaN or infinity, or values outside [0, 1].
    """
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{name}: got dtype {pixels.dtype}, expected uint8 or float")
    bad = int((~np.isfinite(pixels)).sum())
    if bad:
        raise ValueError(f"{name}: {bad} values are NaN or infinite, expected none")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0.0 or high > 1.0:
        raise ValueError(f"{name}: got values in [{low}, {high}], expected [0, 1]")
    return np.round(pixels * 255.0).astype(np.uint8)


def invert_on_ink(
    crops: UInt8[Array, "batch height width 3"],
    ink: Bool[Array, "batch height width"],
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
    """Draws the pictures of tuples over crops of the backgrounds.

    Args:
      arrays: ``ink`` bool[n, side, side]; ``backgrounds`` {modality: u8[rows, columns,
        3]}; ``crop_key`` u32[2], and ``place_key`` u32[2] where ink is smaller than
        the pictures.
      rows: i32[B, M] which ink each modality shows.
      indices: i32[B] number of each tuple, which fixes its crops and places.
      modalities: names, in the order of the columns of `rows`.
      size: side of the pictures.

    Returns:
      {modality: f32[B, size, size, 3]} in [0, 1].
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
    arrays = jax.tree.map(jnp.asarray, arrays)
    indices = jnp.asarray(indices)
    return render_tuples(arrays, arrays["pairing"][indices], indices, modalities, size)


def fetch_columns(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    *,
    columns: Mapping[str, int],
) -> dict[str, Float[Array, "batch ..."]]:
    """Stored bytes that a pairing brings together: {modality: f32[B, *shape]} / 255.

    Args:
      arrays: {modality: u8[n, *shape]} and ``pairing`` i32[N, C].
      indices: i32[B], rows of the pairing.
      columns: modality -> the column of the pairing that says its row.
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

    Args:
      arrays: {modality: u8 or f32[N, *shape]}; not read with ``Rows``.
      rows: i32[B] of `arrays`, or the views themselves, read on the host.
    """
    if isinstance(rows, Rows):
        stored = {m: jnp.asarray(x) for m, x in rows.views.items()}
    else:
        stored = {m: jnp.asarray(a)[jnp.asarray(rows)] for m, a in arrays.items()}
    return {m: to_unit(x) if x.dtype == jnp.uint8 else x for m, x in stored.items()}
