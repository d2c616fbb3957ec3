"""Sample grids as uint8 arrays and PNG files.

Pictures are looked at by people, so small images are enlarged by whole factors
(nearest neighbour: a pixel stays a square), grey ones become RGB, and each row says in
words what it is. Values are clipped to [0, 1], as protocol v1 clips decoder means.

A picture has a bounded size, whatever the data: images larger than their cell are
averaged into it, long names are cut, and a line at the foot says what is left out.
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

MAX_PIXELS = 4_000_000
"""All cells of a picture together."""

MAX_CELLS = 4_000
MAX_SIDE = 256
"""Pixels of a cell; fewer where there are many cells."""

MAX_MODALITIES = 12
"""Rows of what was given; as many again of what was generated."""

_MAX_LABEL = 160
"""Pixels of a name; longer ones lose their middle."""


def _side(num_cells: int) -> int:
    """The largest side of each of so many cells, in pixels."""
    return min(MAX_SIDE, math.isqrt(MAX_PIXELS // num_cells))


def _first(images: Mapping[str, Images]) -> dict[str, Images]:
    return {m: images[m] for m in sorted(images)[:MAX_MODALITIES]}


def _averaged(images: np.ndarray, axis: int, most: int) -> np.ndarray:
    """Means of neighbours along an axis, so that no more than ``most`` are left."""
    size = images.shape[axis]
    if size <= most:
        return images
    ends = np.arange(most + 1) * size // most
    counts = np.expand_dims(np.diff(ends), (*range(1, -axis),)).astype(images.dtype)
    return np.add.reduceat(images, ends[:-1], axis) / counts


def _as_rgb(name: str, images: Images, side: int, *, max_ndim: int = 4) -> np.ndarray:
    """uint8[..., H, W, 3] of images in [0, 1]; H and W at most ``side``."""
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
    shown = _averaged(_averaged(np.clip(images, 0.0, 1.0), -3, side), -2, side)
    pixels = np.rint(shown * 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def _cell(rows: Sequence[np.ndarray], min_size: int, side: int) -> tuple[int, int]:
    """Height and width shared by all cells: the largest image times a whole factor.

    Both are from ``min_size`` to ``side``, to which images that are flat are stretched.
    """
    height = max(row.shape[1] for row in rows)
    width = max(row.shape[2] for row in rows)
    wanted = math.ceil(min_size / min(height, width))
    scale = max(1, min(wanted, side // max(height, width)))
    least = min(min_size, side)
    return max(scale * height, least), max(scale * width, least)


def _cut(font: ImageFont.FreeTypeFont, label: str) -> str:
    """The label, without its middle where it is too long."""
    half = _MAX_LABEL  # no letter is thinner than a pixel
    kept = label if len(label) <= 2 * half else f"{label[:half]}…{label[-half:]}"
    while font.getlength(kept) > _MAX_LABEL:
        half = len(kept) // 2 - 1
        kept = f"{kept[:half]}…{kept[-half:]}"
    return kept


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
    given, generated, left_out = _bounded(given, generated)
    verb = " drawn" if given else ""
    num_rows = len(given) + len(generated)
    num = len(next(iter(generated.values())))
    side = _side(num_rows * num)
    rows = {f"given {m}": _as_rgb(f"given[{m}]", x, side) for m, x in given.items()}
    for m, x in generated.items():
        rows[f"{m}{verb}"] = _as_rgb(f"generated[{m}]", x, side)
    # Equal blocks: 20 images in at most 16 columns are 10 + 10, not 16 + 4.
    num_blocks = math.ceil(num / columns)
    width_of_block = math.ceil(num / num_blocks)
    height, width = cell = _cell([*rows.values()], min_size, side)
    font = ImageFont.load_default(_FONT_SIZE)
    labels = {label: _cut(font, label) for label in rows}
    left = pad + _size_of(font, list(labels.values()))
    block = num_rows * (height + pad) + _GAP * bool(given)
    foot, right = (
        pad + num_blocks * (block + _GAP) - _GAP,
        width_of_block * (width + pad),
    )
    below = _FONT_SIZE + 8 if left_out else 0
    canvas = np.full((foot + below, left + right, 3), _PAPER, np.uint8)
    captions = [(4, foot + below - 4, "lb", left_out)] if left_out else []
    for number in range(num_blocks):
        top = pad + number * (block + _GAP)
        for place, (label, images) in enumerate(rows.items()):
            if given and place == len(given):
                middle = top + (_GAP - pad) // 2
                canvas[middle - 1 : middle + 1] = _LINE
                top += _GAP
            at = number * width_of_block
            _paste(canvas, images[at : at + width_of_block], top, left, cell, pad)
            captions.append((4, top + height // 2, "lm", labels[label]))
            top += height + pad
    return _write_captions(canvas, captions, font)


def _bounded(
    given: Mapping[str, Images], generated: Mapping[str, Images]
) -> tuple[dict[str, Images], dict[str, Images], str]:
    """The modalities and tuples that are shown, and a line on the others."""
    sizes = {f"given[{m}]": len(given[m]) for m in sorted(given)}
    sizes |= {f"generated[{m}]": len(generated[m]) for m in sorted(generated)}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"rows have {sizes} images, expected one number for all")
    num = min(*sizes.values(), MAX_CELLS // min(len(sizes), 2 * MAX_MODALITIES))
    shown = [{m: x[:num] for m, x in _first(of).items()} for of in (given, generated)]
    told = _left_out(
        tuples=(num, max(sizes.values())),
        given=(len(shown[0]), len(given)),
        generated=(len(shown[1]), len(generated)),
    )
    return *shown, told


def _left_out(**shown: tuple[int, int]) -> str:
    """A line on what=(number shown, number of all); "" where all is shown.

    >>> _left_out(tuples=(9, 9), given=(12, 39))
    'shown: 12 of 39 given'
    """
    told = [f"{n:,} of {of:,} {what}" for what, (n, of) in shown.items() if n < of]
    return f"shown: {', '.join(told)}" if told else ""


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
    left_out = _left_out(modalities=(len(_first(real)), len(real)))
    real = _first(real)
    names, num_tuples = list(real), len(next(iter(real.values())))
    num_draws = max(x.shape[1] for drawn in generated.values() for x in drawn.values())
    side = _side(len(names) * num_tuples * (1 + len(generated) * num_draws))
    real = {m: _as_rgb(f"real[{m}]", x, side) for m, x in real.items()}
    height, width = cell = _cell(list(real.values()), min_size, side)
    groups = {
        subset: {
            m: _as_rgb(f"generated[{m}]", x, side, max_ndim=5)
            for m, x in drawn.items()
            if m in real
        }
        for subset, drawn in generated.items()
    }
    font = ImageFont.load_default(_FONT_SIZE)
    heads = ["test data", *(f"given {', '.join(subset)}" for subset in groups)]
    heads, labels = ([_cut(font, text) for text in told] for told in (heads, names))
    # A group is as wide as its draws, or as its head where that is longer.
    wide = max(num_draws * (width + pad), _size_of(font, heads))
    margin = pad + _size_of(font, labels)
    first = margin + max(width + pad, _size_of(font, heads[:1])) + _GAP
    lefts = [margin, *(first + number * (wide + _GAP) for number in range(len(groups)))]
    head_height, band = _FONT_SIZE + 10, len(names) * (height + pad) + _GAP
    foot = head_height + num_tuples * band + _FONT_SIZE + 4
    canvas = np.full((foot + 6, lefts[-1] + wide, 3), _PAPER, np.uint8)
    legend = "framed: given; all else right of the test data is generated"
    legend += f"; {left_out}" if left_out else ""
    captions = [(margin, foot, "lb", legend)]
    for left, head in zip(lefts, heads, strict=True):
        captions.append((left, head_height - 8, "ls", head))
    for number in range(num_tuples):
        for row, name in enumerate(names):
            top = head_height + number * band + row * (height + pad)
            captions.append((4, top + height // 2, "lm", labels[row]))
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
