"""Sample grids as uint8 arrays and PNG files: rows are modalities, columns are draws.

Pictures are looked at by people, so small images are enlarged by whole factors
(nearest neighbour: a pixel stays a square), grey ones become RGB, and each row says in
words what it is. Values are clipped to [0, 1], as protocol v1 clips decoder means.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

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


def _enlarge(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of uint8[C, H, W, 3] to [C, height, width, 3]."""
    rows = np.arange(height) * images.shape[1] // height
    columns = np.arange(width) * images.shape[2] // width
    return images[:, rows[:, None], columns[None, :]]


def _cell(rows: Sequence[np.ndarray], min_size: int) -> tuple[int, int]:
    """Height and width shared by all cells: the largest image times a whole factor."""
    height = max(row.shape[1] for row in rows)
    width = max(row.shape[2] for row in rows)
    scale = max(1, math.ceil(min_size / min(height, width)))
    return scale * height, scale * width


def _text_width(font: ImageFont.FreeTypeFont, labels: Sequence[str]) -> int:
    """Pixels that the longest label needs, with a margin on both sides."""
    longest = max((font.getlength(label) for label in labels), default=0.0)
    return math.ceil(longest) + 8 if longest else 0


def grid(
    rows: Images | Sequence[Images],
    *,
    pad: int = 2,
    labels: Sequence[str] | None = None,
    min_size: int = 48,
) -> Picture:
    """Images in rows and columns, all in cells of one size.

    Args:
      rows: f32[R, C, H, W, 1 or 3], or one f32[C, H, W, 1 or 3] a row, whose H, W and
        channels may differ from row to row (and whose C may, too: the rest stays
        blank). Values in [0, 1]; what lies outside is clipped.
      pad: blank pixels between cells.
      labels: a caption for each row, drawn to its left.
      min_size: smallest side of a cell in pixels; smaller images are enlarged by a
        whole factor. 1 keeps the largest image at its own size.

    Returns:
      uint8[height, width, 3] on white.

    Raises:
      ValueError: no rows, a row of another shape, values that are not finite, or not
        as many labels as rows.

    >>> grid(np.zeros((2, 5, 8, 8, 1)), pad=2, min_size=16).shape
    (38, 92, 3)
    """
    rows = [_as_rgb(f"rows[{i}]", row) for i, row in enumerate(rows)]
    if not rows:
        raise ValueError("`rows` is empty, expected at least one row of images")
    labels = [""] * len(rows) if labels is None else list(labels)
    if len(labels) != len(rows):
        raise ValueError(f"`labels` has {len(labels)} entries, expected {len(rows)}")
    block = [(label, row, False) for label, row in zip(labels, rows, strict=True)]
    return _draw([block], pad=pad, min_size=min_size)


def _draw(
    blocks: Sequence[Sequence[tuple[str, np.ndarray, bool]]], *, pad: int, min_size: int
) -> np.ndarray:
    """Blocks of (caption, uint8[C, H, W, 3], line above?) one under the other."""
    rows = [row for block in blocks for row in block]
    height, width = _cell([images for _, images, _ in rows], min_size)
    font = ImageFont.load_default(_FONT_SIZE)
    left = pad + _text_width(font, [label for label, _, _ in rows])
    num_gaps = len(blocks) - 1 + sum(line for _, _, line in rows)
    total = (
        pad + len(rows) * (height + pad) + num_gaps * _GAP,
        left + max(len(images) for _, images, _ in rows) * (width + pad),
        3,
    )
    canvas = np.full(total, _PAPER, np.uint8)
    captions = []
    top = pad - _GAP
    for block in blocks:
        top += _GAP
        for label, images, line in block:
            if line:
                middle = top + (_GAP - pad) // 2
                canvas[middle - 1 : middle + 1] = _LINE
                top += _GAP
            for column, cell in enumerate(_enlarge(images, height, width)):
                at = left + column * (width + pad)
                canvas[top : top + height, at : at + width] = cell
            captions.append((top + height // 2, label))
            top += height + pad
    return _write_captions(canvas, captions, font)


def _write_captions(
    canvas: np.ndarray,
    captions: Sequence[tuple[int, str]],
    font: ImageFont.FreeTypeFont,
) -> np.ndarray:
    """``canvas`` with each text at the left, centred on its vertical position."""
    if not any(text for _, text in captions):
        return canvas
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for middle, text in captions:
        draw.text((4, middle), text, fill=_INK, font=font, anchor="lm")
    return np.array(image)


def _blocks(
    rows: Sequence[tuple[str, np.ndarray, bool]], columns: int
) -> list[list[tuple[str, np.ndarray, bool]]]:
    """Cut rows of N images into blocks of at most ``columns``."""
    if columns < 1:
        raise ValueError(f"`columns` is {columns}, expected at least 1")
    sizes = {label: len(images) for label, images, _ in rows}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"rows have {sizes} images, expected one number for all")
    num = next(iter(sizes.values()))
    # Equal blocks: 20 images in at most 16 columns are 10 + 10, not 16 + 4.
    width = math.ceil(num / math.ceil(num / columns))
    return [
        [(label, images[at : at + width], line) for label, images, line in rows]
        for at in range(0, num, width)
    ]


def conditional_grid(
    given: Mapping[str, Images],
    generated: Mapping[str, Images],
    *,
    columns: int = 16,
    pad: int = 2,
    min_size: int = 48,
) -> Picture:
    """Draws what was given above a line, and what was generated from it below.

    Args:
      given: modality → f32[N, H, W, 1 or 3], one test tuple a column.
      generated: modality → f32[N, H, W, 1 or 3], or f32[K, N, H, W, 1 or 3] for K
        independent draws a tuple, which become K rows.
      columns: tuples side by side; more of them continue in a block further down.
      pad: blank pixels between cells.
      min_size: smallest side of a cell in pixels.

    Returns:
      uint8[height, width, 3].

    Raises:
      ValueError: nothing given or generated, or unequal numbers of tuples.
    """
    if not given or not generated:
        raise ValueError(
            f"`given` has {sorted(given)} and `generated` {sorted(generated)}, "
            "expected at least one modality in each"
        )
    rows = [
        (f"given {name}", _as_rgb(f"given[{name}]", given[name]), False)
        for name in sorted(given)
    ]
    num_given = len(rows)
    for name in sorted(generated):
        draws = _as_rgb(f"generated[{name}]", generated[name], max_ndim=5)
        for draw in draws if draws.ndim == 5 else draws[None]:
            rows.append((f"{name} drawn", draw, len(rows) == num_given))
    return _draw(_blocks(rows, columns), pad=pad, min_size=min_size)


def unconditional_grid(
    generated: Mapping[str, Images],
    *,
    columns: int = 16,
    pad: int = 2,
    min_size: int = 48,
) -> Picture:
    """Draws from the prior: a column is one z, its rows all the modalities.

    Args:
      generated: modality → f32[N, H, W, 1 or 3], decoded from the same N draws.
      columns: draws side by side; more of them continue in a block further down.
      pad: blank pixels between cells.
      min_size: smallest side of a cell in pixels.

    Returns:
      uint8[height, width, 3].

    Raises:
      ValueError: no modality, or unequal numbers of draws.
    """
    if not generated:
        raise ValueError("`generated` is empty, expected at least one modality")
    rows = [
        (name, _as_rgb(f"generated[{name}]", generated[name]), False)
        for name in sorted(generated)
    ]
    return _draw(_blocks(rows, columns), pad=pad, min_size=min_size)


def save_png(path: str | os.PathLike, array: Picture) -> Path:
    """Write a picture; the file is there whole or not at all.

    Args:
      path: where to; must end in ``.png``. Missing folders are made.
      array: uint8[height, width, 3].

    Returns:
      The path, for the message that says where it is.

    Raises:
      ValueError: another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"`path` is {path}, expected a name that ends in .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", optimize=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)
    return path
