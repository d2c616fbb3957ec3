"""Vectors and sequences as pictures that people read: lines, traces, heat maps.

========================  ==========================================================
f32[N, F]                 a line over the features; many to a pixel: their mean, in a
                          band from the least to the largest
f32[N, T, C], C ≤ 6       a trace a channel over the tokens; where there are two
                          channels, the path through the plane stands beside them
f32[N, T, C], C > 6       a heat map, tokens from left to right, channels downwards
f32[N, H, W, C]           a heat map, channels side by side
========================  ==========================================================

Values from ``low`` to ``high`` fill the height, or run from black to white.
"""

import numpy as np
from jaxtyping import Float

HEIGHT, WIDTH = 64, 96
"""Pixels of a panel with lines."""

MAX_TRACES = 6

_FINER = 4
"""Panels are drawn so many times as large, and averaged: lines without stairs."""

_MARGIN = 3
_COLOURS = ("#1f5aaa", "#c83c28", "#288c46", "#8c5aa0", "#b07820", "#3c3c3c")
_BAND, _AXIS, _FRAME = "#a9c3e6", "#c8c8c8", "#dcdcdc"


def draw(
    values: Float[np.ndarray, "count ..."], *, low: float, high: float
) -> Float[np.ndarray, "count height width channels"]:
    """Pictures in [0, 1], of three colours or grey, one a row; see the table above.

    >>> draw(np.zeros((2, 5)), low=-1.0, high=1.0).shape
    (2, 64, 96, 3)
    >>> draw(np.zeros((2, 9, 20)), low=0.0, high=1.0).shape
    (2, 20, 9, 1)
    """
    values = np.asarray(values, np.float64)
    span = high - low if high > low else np.inf
    shares = np.clip((values - low) / span, 0.0, 1.0)
    zero = -low / span if low < 0 < high else None
    if shares.ndim == 2:
        return np.stack([_panel(row[None], zero) for row in shares])
    if shares.ndim == 4:
        return _side_by_side(shares)
    if shares.shape[-1] > MAX_TRACES:
        return shares.transpose(0, 2, 1)[..., None].astype(np.float32)
    pictures = [_panel(row.T, zero) for row in shares]
    if shares.shape[-1] == 2:
        paths = map(_path, shares)
        pictures = [np.hstack(both) for both in zip(paths, pictures, strict=True)]
    return np.stack(pictures)


def _side_by_side(shares: np.ndarray) -> np.ndarray:
    count, height, width, channels = shares.shape
    cells = shares.transpose(0, 1, 3, 2).reshape(count, height, channels * width)
    return cells[..., None].astype(np.float32)


def _panel(lines: np.ndarray, zero: float | None) -> np.ndarray:
    """Lines over their indices, f32[HEIGHT, WIDTH, 3]; a rule where 0 is."""
    image, pen = _paper(WIDTH)
    if zero is not None:
        rule = [(_place(x, WIDTH), _place(1 - zero, HEIGHT)) for x in (0.0, 1.0)]
        pen.line(rule, fill=_AXIS, width=3)
    for line, colour in zip(lines, _COLOURS, strict=False):
        middle, low, high = _thinned(line)
        x = _place(np.linspace(0, 1, len(middle)), WIDTH)
        there = zip(x, _place(1 - high, HEIGHT), strict=True)
        back = zip(x[::-1], _place(1 - low[::-1], HEIGHT), strict=True)
        pen.polygon([*there, *back], fill=_BAND)
        _stroke(pen, x, _place(1 - middle, HEIGHT), colour)
    return _finished(image, WIDTH)


def _path(points: np.ndarray) -> np.ndarray:
    """The way through the plane, y upwards; a dot where it starts."""
    image, pen = _paper(HEIGHT)
    x, y = _place(points[:, 0], HEIGHT), _place(1 - points[:, 1], HEIGHT)
    _stroke(pen, x, y, _COLOURS[0])
    pen.ellipse([x[0] - 9, y[0] - 9, x[0] + 9, y[0] + 9], fill=_COLOURS[1])
    return _finished(image, HEIGHT)


def _thinned(line: np.ndarray) -> tuple[np.ndarray, ...]:
    """A line of at most ``WIDTH`` points, with the least and the largest in each."""
    num = min(len(line), WIDTH)
    starts = np.arange(num) * len(line) // num
    counts = np.diff(np.append(starts, len(line)))
    ends = (np.minimum.reduceat(line, starts), np.maximum.reduceat(line, starts))
    return np.add.reduceat(line, starts) / counts, *ends


def _paper(width: int):
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (_FINER * width, _FINER * HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, 0, image.width - 1, image.height - 1], outline=_FRAME, width=4)
    return image, pen


def _place(shares: np.ndarray | float, size: int) -> np.ndarray | float:
    """Pixels of the finer panel, inside of its margin."""
    return _FINER * (_MARGIN + shares * (size - 2 * _MARGIN))


def _stroke(pen, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """A line through points, a dot where there is only one."""
    pen.line([*zip(x, y, strict=True)], fill=colour, width=6, joint="curve")
    if len(x) == 1:
        pen.ellipse([x[0] - 6, y[0] - 6, x[0] + 6, y[0] + 6], fill=colour)


def _finished(image, width: int) -> np.ndarray:
    fine = np.asarray(image, np.float32) / 255
    blocks = fine.reshape(HEIGHT, _FINER, width, _FINER, 3)
    return blocks.mean(axis=(1, 3))
