"""Sample grids as uint8 arrays and PNG files.

Pictures are looked at by people, so small images are enlarged by whole factors
(nearest neighbour: a pixel stays a square), grey ones become RGB, and each row says in
words what it is. Values are clipped to [0, 1], as protocol v1 clips decoder means.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jnf_jax.runtime.files import write_whole

Picture = UInt8[np.ndarray, "height width 3"]
Images = np.ndarray | jax.Array
"""f32[..., H, W, 1 or 3], values in [0, 1]."""

_PAPER = 255
_INK = (70, 70, 70)
_LINE = (200, 60, 40)
_FONT_SIZE = 12
_GAP = 8
"""Blank pixels between blocks; the line between given and drawn lies in as many."""


def _as_rgb(name: str, images: Images, *, max_ndim: int = 4) -> np.ndarray:
    """uint8[..., H, W, 3] of images in [0, 1]."""
    images = np.asarray(images)
    if (
        not 4 <= images.ndim <= max_ndim
        or images.shape[-1] not in (1, 3)
        or 0 in images.shape
    ):
        raise ValueError(
            f"`{name}` has shape {images.shape}, expected [columns, height, width, "
            "1 or 3] without empty axes"
        )
    # Pixels that are already bytes would all be clipped to 0 or 1.
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"`{name}` is {images.dtype}, expected floats in [0, 1]")
    if not np.isfinite(images).all():
        raise ValueError(f"`{name}` holds values that are not finite")
    pixels = np.rint(np.clip(images, 0.0, 1.0) * 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def _cell(rows: Sequence[np.ndarray], min_size: int) -> tuple[int, int]:
    """Height and width shared by all cells: the largest image times a whole factor."""
    height = max(row.shape[1] for row in rows)
    width = max(row.shape[2] for row in rows)
    scale = max(1, math.ceil(min_size / min(height, width)))
    return scale * height, scale * width


def _size_of(font: ImageFont.FreeTypeFont, labels: Sequence[str]) -> int:
    """Pixels that the longest label needs, with a margin on both sides."""
    return math.ceil(max(font.getlength(label) for label in labels)) + 8


def grid(
    generated: Mapping[str, Images],
    given: Mapping[str, Images] = MappingProxyType({}),
    *,
    columns: int = 16,
    pad: int = 2,
    min_size: int = 48,
) -> Picture:
    """Rows of modalities, a column for each tuple; what was given lies above a line.

    Args:
        generated: modality → f32[N, H, W, 1 or 3], decoded from the same N latents.
        given: modality → f32[N, H, W, 1 or 3], what they were drawn given; {} for draws
            from a prior.
        columns: Tuples side by side; more of them continue in a block further down.
        pad: Blank pixels between cells.
        min_size: Smallest side of a cell in pixels; smaller images are enlarged by a
            whole factor. 1 keeps the largest image at its own size.

    Raises:
        ValueError: No modality, unequal numbers of tuples, images of another shape, or
            values that are not finite.

    >>> grid({"m0": np.zeros((5, 8, 8, 1))}, min_size=16).shape
    (20, 118, 3)
    """
    if not generated:
        raise ValueError("`generated` is empty, expected at least one modality")
    if columns < 1:
        raise ValueError(f"`columns` is {columns}, expected at least 1")
    verb = " drawn" if given else ""
    rows = {f"given {m}": _as_rgb(f"given[{m}]", given[m]) for m in sorted(given)}
    for m in sorted(generated):
        rows[f"{m}{verb}"] = _as_rgb(f"generated[{m}]", generated[m])
    sizes = {label: len(images) for label, images in rows.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"rows have {sizes} images, expected one number for all")
    num = min(sizes.values())
    # Equal blocks: 20 images in at most 16 columns are 10 + 10, not 16 + 4.
    num_blocks = math.ceil(num / columns)
    width_of_block = math.ceil(num / num_blocks)
    height, width = cell = _cell([*rows.values()], min_size)
    font = ImageFont.load_default(_FONT_SIZE)
    left = pad + _size_of(font, list(sizes))
    block = len(rows) * (height + pad) + _GAP * bool(given)
    foot, right = (
        pad + num_blocks * (block + _GAP) - _GAP,
        width_of_block * (width + pad),
    )
    canvas = np.full((foot, left + right, 3), _PAPER, np.uint8)
    captions = []
    for number in range(num_blocks):
        top = pad + number * (block + _GAP)
        for place, (label, images) in enumerate(rows.items()):
            if given and place == len(given):
                middle = top + (_GAP - pad) // 2
                canvas[middle - 1 : middle + 1] = _LINE
                top += _GAP
            at = number * width_of_block
            _paste(canvas, images[at : at + width_of_block], top, left, cell, pad)
            captions.append((4, top + height // 2, "lm", label))
            top += height + pad
    return _write_captions(canvas, captions, font)


def any_to_any_grid(
    real: Mapping[str, Images],
    generated: Mapping[tuple[str, ...], Mapping[str, Images]],
    *,
    pad: int = 2,
    min_size: int = 32,
) -> Picture:
    """A table of a few tuples: what is generated of each modality from each subset.

    A band of rows belongs to a tuple and has a row for each modality. The first column
    is the tuple itself; each group of columns behind it is headed by what was given,
    shows that once, in a frame, and beside it draws of the other modalities.

    Args:
        real: modality → f32[N, H, W, 1 or 3], the tuples.
        generated: what was given → modality → f32[N, K, H, W, 1 or 3], K draws a tuple
            of every other modality.
        pad: Blank pixels between cells.
        min_size: Smallest side of a cell in pixels.
    """
    names = sorted(real)
    real = {name: _as_rgb(f"real[{name}]", real[name]) for name in names}
    height, width = cell = _cell(list(real.values()), min_size)
    groups = {
        subset: {m: _as_rgb(f"generated[{m}]", x, max_ndim=5) for m, x in drawn.items()}
        for subset, drawn in generated.items()
    }
    num_draws = max(x.shape[1] for drawn in groups.values() for x in drawn.values())
    font = ImageFont.load_default(_FONT_SIZE)
    heads = ["test data", *(f"given {', '.join(subset)}" for subset in groups)]
    # A group is as wide as its draws, or as its head where that is longer.
    wide = max(num_draws * (width + pad), _size_of(font, heads))
    margin = pad + _size_of(font, names)
    first = margin + max(width + pad, _size_of(font, heads[:1])) + _GAP
    lefts = [margin, *(first + number * (wide + _GAP) for number in range(len(groups)))]
    head_height, band = _FONT_SIZE + 10, len(names) * (height + pad) + _GAP
    foot = head_height + len(real[names[0]]) * band + _FONT_SIZE + 4
    canvas = np.full((foot + 6, lefts[-1] + wide, 3), _PAPER, np.uint8)
    legend = "framed: given; all else right of the test data is generated"
    captions = [(margin, foot, "lb", legend)]
    for left, head in zip(lefts, heads, strict=True):
        captions.append((left, head_height - 8, "ls", head))
    for number in range(len(real[names[0]])):
        for row, name in enumerate(names):
            top = head_height + number * band + row * (height + pad)
            captions.append((4, top + height // 2, "lm", name))
            own = real[name][number : number + 1]
            _paste(canvas, own, top, margin, cell, pad)
            for left, (subset, drawn) in zip(lefts[1:], groups.items(), strict=True):
                if is_given := name in subset:
                    rows = slice(top - 2, top + height + 2)
                    canvas[rows, left - 2 : left + width + 2] = _LINE
                shown = own if is_given else drawn[name][number]
                _paste(canvas, shown, top, left, cell, pad)
    return _write_captions(canvas, captions, font)


def _paste(
    canvas: np.ndarray, images: np.ndarray, top: int, left: int,
    cell: tuple[int, int], pad: int,
) -> None:  # fmt: skip
    """Draws uint8[C, H, W, 3] side by side, in cells of that height and width."""
    height, width = cell
    rows = np.arange(height) * images.shape[1] // height  # the nearest neighbours
    columns = np.arange(width) * images.shape[2] // width
    for number, picture in enumerate(images[:, rows[:, None], columns]):
        at = left + number * (width + pad)
        canvas[top : top + height, at : at + width] = picture


def _write_captions(
    canvas: np.ndarray,
    captions: Sequence[tuple[int, int, str, str]],
    font: ImageFont.FreeTypeFont,
) -> np.ndarray:
    """``canvas`` with each (x, y, anchor, text)."""
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for x, y, anchor, text in captions:
        draw.text((x, y), text, fill=_INK, font=font, anchor=anchor)
    return np.array(image)


def save_png(path: str | os.PathLike, array: Picture) -> Path:
    """Writes a picture, and returns its path, which must end in ``.png``.

    Raises:
        ValueError: Another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"`path` is {path}, expected a name that ends in .png")
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", optimize=True)
    return write_whole(path, buffer.getvalue())
