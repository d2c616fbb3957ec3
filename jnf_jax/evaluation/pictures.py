"""Sample grids as uint8 arrays and PNG files.

Pictures are looked at by people, so each view keeps its own form: small images are
enlarged by whole factors (nearest neighbour: a pixel stays a square), grey ones become
RGB, and each row or column says in words what it is. Values are clipped to [0, 1], as
protocol v1 clips decoder means.

A picture has a bounded size, whatever the data: images larger than their cell are
averaged into it, long names are cut, and a line at the foot says what is left out.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
"""Blank pixels between blocks, and between the groups of a table."""

MAX_PIXELS = 4_000_000
"""All cells of a picture together."""

MAX_CELLS = 4_000
MAX_SIDE = 256
"""Pixels of a cell; fewer where there are many cells."""

MAX_TUPLES = 64
"""Rows of a table."""

MAX_MODALITIES = 12
"""Views that were given; as many again that were generated."""

_LEAST_SIDE = 8
"""Pixels of a cell's shorter side."""

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


def _cell(images: np.ndarray, min_size: int, side: int) -> tuple[int, int]:
    """Height and width of images as they are shown: times a whole factor.

    The longer side is from ``min_size`` to ``side``; a flat one is stretched.
    """
    height, width = images.shape[-3:-1]
    longer = max(height, width)
    scale = max(1, min(math.ceil(min_size / longer), side // longer))
    least = min(_LEAST_SIDE, min_size)
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
    *,
    columns: int = 16,
    pad: int = 2,
    min_size: int = 48,
) -> Picture:
    """A row a modality, a column a tuple: draws of all views together.

    Args:
        generated: modality → f32[N, H, W, 1 or 3], decoded from the same N latents.
        columns: Tuples side by side; more of them continue in a block further down.
        pad: Blank pixels between cells.
        min_size: Longer side of a cell in pixels; smaller images are enlarged by a
            whole factor. 1 keeps images at their own size.

    Raises:
        ValueError: No modality, unequal numbers of tuples, images of another shape, or
            values that are not finite.

    >>> grid({"m0": np.zeros((5, 8, 8, 1))}, min_size=16).shape
    (20, 118, 3)
    """
    if columns < 1:
        raise ValueError(f"`columns` is {columns}, expected at least 1")
    kept = _first(generated)
    num, of = _num_shown({"generated": generated}, len(kept))
    side = _side(len(kept) * num)
    rows = {m: _as_rgb(f"generated[{m}]", x[:num], side) for m, x in kept.items()}
    cells = {m: _cell(images, min_size, side) for m, images in rows.items()}
    # Equal blocks: 20 images in at most 16 columns are 10 + 10, not 16 + 4.
    num_blocks = math.ceil(num / columns)
    width_of_block = math.ceil(num / num_blocks)
    font = ImageFont.load_default(_FONT_SIZE)
    labels = {m: _cut(font, m) for m in rows}
    left, wide = pad + _size_of(font, list(labels.values())), _widest(cells)
    block = sum(height + pad for height, _ in cells.values()) + _GAP
    foot = pad + num_blocks * block - _GAP
    told = _left_out(tuples=(num, of), modalities=(len(kept), len(generated)))
    below = _FONT_SIZE + 8 if told else 0
    size = foot + below, left + width_of_block * (wide + pad)
    canvas = np.full((*size, 3), _PAPER, np.uint8)
    captions = [(4, foot + below - 4, "lb", told)] if told else []
    for number in range(num_blocks):
        top, at = pad + number * block, number * width_of_block
        for m, images in rows.items():
            shown, height = images[at : at + width_of_block], cells[m][0]
            _paste(canvas, shown, top, left, cells[m], (height, wide), pad)
            captions.append((4, top + height // 2, "lm", labels[m]))
            top += height + pad
    return _write_captions(canvas, captions, font)


class _Group(NamedTuple):
    """Columns of one modality: u8[N, K, H, W, 3], what stands above, the size of each.

    ``heads`` are of the first column and of all others; ``is_given`` frames it.
    """

    name: str
    images: np.ndarray
    heads: tuple[str, str]
    cell: tuple[int, int]
    is_given: bool


def conditional_grid(
    given: Mapping[str, Images],
    truth: Mapping[str, Images],
    generated: Mapping[str, Images],
    *,
    rows: int = 16,
    pad: int = 2,
    min_size: int = 48,
) -> Picture:
    """A row a tuple: what was given, framed; then the truth and draws of other views.

    Args:
        given: modality → f32[N, H, W, 1 or 3].
        truth: modality → f32[N, H, W, 1 or 3], of the same tuples.
        generated: modality → f32[N, K, H, W, 1 or 3], K draws a tuple.
        rows: Tuples below each other; more of them continue in a block to the right.
        pad: Blank pixels between cells.
        min_size: As for ``grid``.

    Raises:
        ValueError: As ``grid``; a generated view without its truth.
    """
    if missing := sorted(set(generated) - set(truth)):
        raise ValueError(f"`truth` lacks {missing}, expected all of `generated`")
    shown, targets = _first(given), _first(generated)
    cells = len(shown) + sum(1 + x.shape[1] for x in targets.values())
    num, of = _num_shown(dict(given=given, truth=truth, generated=generated), cells)
    num = min(num, MAX_TUPLES)
    side = _side(cells * num)
    groups = []
    for m, x in shown.items():
        images = _as_rgb(f"given[{m}]", x[:num], side)[:, None]
        cell = _cell(images, min_size, side)
        groups.append(_Group(m, images, ("given", ""), cell, True))
    for m, x in targets.items():
        both = [_as_rgb(f"truth[{m}]", truth[m][:num], side)[:, None]]
        both += [_as_rgb(f"generated[{m}]", x[:num], side, max_ndim=5)]
        images = np.concatenate(both, axis=1)
        cell = _cell(images, min_size, side)
        groups.append(_Group(m, images, ("truth", "draws"), cell, False))
    told = _left_out(
        tuples=(num, of),
        given=(len(shown), len(given)),
        generated=(len(targets), len(generated)),
    )
    return _table(groups, told, rows, pad)


def _table(groups: Sequence[_Group], told: str, rows: int, pad: int) -> Picture:
    """Groups side by side below their heads, ``rows`` tuples below each other."""
    font = ImageFont.load_default(_FONT_SIZE)
    num, tall = len(groups[0].images), max(group.cell[0] for group in groups)
    num_blocks = math.ceil(num / rows)
    height_of_block = math.ceil(num / num_blocks)
    lefts, right = [], _GAP
    for _ in range(num_blocks):
        for group in groups:
            lefts.append(right)
            columns = group.images.shape[1] * (_pitch(group, font) + pad) + _GAP // 2
            right += max(columns, _size_of(font, [_cut(font, group.name)])) + _GAP
    head = 2 * _FONT_SIZE + 10
    foot = head + height_of_block * (tall + _GAP)
    below = _FONT_SIZE + 8 if told else 0
    canvas = np.full((foot + below, right, 3), _PAPER, np.uint8)
    captions = [(4, foot + below - 4, "lb", told)] if told else []
    for place, left in enumerate(lefts):
        block, group = place // len(groups), groups[place % len(groups)]
        pitch, at = _pitch(group, font), block * height_of_block
        captions.append((left, _FONT_SIZE + 2, "ls", _cut(font, group.name)))
        second = left + pitch + pad + _GAP // 2
        for x, said in zip((left, second), group.heads, strict=True):
            captions.append((x, 2 * _FONT_SIZE + 3, "ls", said))
        for number, images in enumerate(group.images[at : at + height_of_block]):
            top = head + number * (tall + _GAP)
            if group.is_given:
                _frame(canvas, top, left, group.cell, (tall, pitch))
            for x, columns in ((left, images[:1]), (second, images[1:])):
                _paste(canvas, columns, top, x, group.cell, (tall, pitch), pad)
    return _write_captions(canvas, captions, font)


def _pitch(group: _Group, font: ImageFont.FreeTypeFont) -> int:
    """Pixels of a column: those of its images, or of what stands above them."""
    return max(group.cell[1], *(math.ceil(font.getlength(h)) for h in group.heads))


def _num_shown(
    views: Mapping[str, Mapping[str, Images]], cells_a_tuple: int
) -> tuple[int, int]:
    """How many tuples are shown, and how many there are.

    Raises:
        ValueError: Nothing was generated, or modalities differ in their number.
    """
    if not views["generated"]:
        raise ValueError("`generated` is empty, expected at least one modality")
    sizes = {f"{a}[{m}]": len(of[m]) for a, of in views.items() for m in sorted(of)}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"rows have {sizes} images, expected one number for all")
    num = min(sizes.values())
    return min(num, MAX_CELLS // cells_a_tuple), num


def _widest(cells: Mapping[str, tuple[int, int]]) -> int:
    return max(width for _, width in cells.values())


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
    cells = {m: _cell(images, min_size, side) for m, images in real.items()}
    wide_cell = _widest(cells)
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
    wide = max(num_draws * (wide_cell + pad), _size_of(font, heads))
    margin = pad + _size_of(font, labels)
    first = margin + max(wide_cell + pad, _size_of(font, heads[:1])) + _GAP
    lefts = [margin, *(first + number * (wide + _GAP) for number in range(len(groups)))]
    head_height = _FONT_SIZE + 10
    band = sum(height + pad for height, _ in cells.values()) + _GAP
    foot = head_height + num_tuples * band + _FONT_SIZE + 4
    canvas = np.full((foot + 6, lefts[-1] + wide, 3), _PAPER, np.uint8)
    legend = "framed: given; all else right of the test data is generated"
    legend += f"; {left_out}" if left_out else ""
    captions = [(margin, foot, "lb", legend)]
    for left, head in zip(lefts, heads, strict=True):
        captions.append((left, head_height - 8, "ls", head))
    for number in range(num_tuples):
        top = head_height + number * band
        for name, label in zip(names, labels, strict=True):
            size = (cells[name][0], wide_cell)
            captions.append((4, top + size[0] // 2, "lm", label))
            own = real[name][number : number + 1]
            _paste(canvas, own, top, margin, cells[name], size, pad)
            for left, (subset, drawn) in zip(lefts[1:], groups.items(), strict=True):
                if is_given := name in subset:
                    _frame(canvas, top, left, cells[name], size)
                shown = own if is_given else drawn[name][number]
                _paste(canvas, shown, top, left, cells[name], size, pad)
            top += size[0] + pad
    return _write_captions(canvas, captions, font)


def _corner(
    top: int, left: int, cell: tuple[int, int], room: tuple[int, int]
) -> tuple[int, int]:
    """Where an image in the middle of its room begins."""
    return top + (room[0] - cell[0]) // 2, left + (room[1] - cell[1]) // 2


def _frame(
    canvas: np.ndarray, top: int, left: int,
    cell: tuple[int, int], room: tuple[int, int],
) -> None:  # fmt: skip
    """Paints what will show as a frame of two pixels around an image."""
    y, x = _corner(top, left, cell, room)
    canvas[y - 2 : y + cell[0] + 2, x - 2 : x + cell[1] + 2] = _LINE


def _paste(
    canvas: np.ndarray, images: np.ndarray, top: int, left: int,
    cell: tuple[int, int], room: tuple[int, int], pad: int,
) -> None:  # fmt: skip
    """Draws uint8[C, H, W, 3] of a cell's size side by side, each amid its room."""
    height, width = cell
    rows = np.arange(height) * images.shape[1] // height  # the nearest neighbours
    columns = np.arange(width) * images.shape[2] // width
    for number, picture in enumerate(images[:, rows[:, None], columns]):
        y, x = _corner(top, left + number * (room[1] + pad), cell, room)
        canvas[y : y + height, x : x + width] = picture


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


def sheet(name: str, images: Images, side: int) -> Picture:
    """Pictures edge to edge, f32[N, K, H, W, 1 or 3] as N rows of K cells.

    Cells have the pictures' own size, or are averaged to sides of ``side`` at most.

    >>> sheet("m0", np.zeros((2, 5, 8, 6, 1)), side=4).shape
    (8, 20, 3)
    """
    cells = _as_rgb(name, images, side, max_ndim=5)
    num, columns, height, width, _ = cells.shape
    rows = cells.transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(rows.reshape(num * height, columns * width, 3))


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
