"""Pen trajectories: fixed numbers of points along the path, and drawings of them."""

import numpy as np
from jaxtyping import Bool, Float, Int8


def resample(
    offsets: Int8[np.ndarray, "length 2"],
    stroke_end: Bool[np.ndarray, " length"],
    *,
    num_points: int,
    side: int,
) -> Float[np.ndarray, "points 3"]:
    """Points at equal steps of the length that the pen draws.

    Lifted, the pen draws nothing: a stroke follows on the one before. Strokes that have
    no length (dots) vanish.

    Args:
      offsets: steps (dx, dy) of the pen, the first from the origin, in pixels.
      stroke_end: whether the pen is lifted after each of them.
      num_points: T.
      side: of the picture, in pixels.

    Returns:
      f64[T, 3]: x, y in [0, 1], y downwards; and 1 where the pen is lifted after the
      point, at the last one always.
    """
    places = np.cumsum(offsets, axis=0, dtype=np.float64) / side
    lifted = np.concatenate([[False], stroke_end[:-1]])
    steps = np.hypot(*np.diff(places, axis=0, prepend=places[:1]).T)
    steps[lifted] = 0.0
    drawn, stroke = np.cumsum(steps), np.cumsum(lifted)
    at = np.linspace(0.0, drawn[-1], num_points)
    # The first of equal entries, rounding aside: never the far end of a jump.
    right = np.searchsorted(drawn, at - 1e-9)
    left = np.maximum(right - 1, 0)
    gap = drawn[right] - drawn[left]
    share = np.where(gap > 0, (at - drawn[left]) / np.where(gap > 0, gap, 1.0), 1.0)
    points = places[left] + share[:, None] * (places[right] - places[left])
    last = np.append(stroke[right][1:] != stroke[right][:-1], True)
    return np.column_stack([points, last])


def draw(
    trajectories: Float[np.ndarray, "count points 3"], *, size: int = 84
) -> Float[np.ndarray, "count size size 1"]:
    """Drawings in [0, 1], white on black; the pen is lifted where its mark is over 1/2.

    ``trajectories`` are as `resample` makes them.
    """
    from PIL import Image, ImageDraw

    drawings = np.zeros((len(trajectories), size, size, 1), np.float32)
    for drawing, points in zip(drawings, np.asarray(trajectories), strict=True):
        canvas = Image.new("L", (size, size))
        pencil = ImageDraw.Draw(canvas)
        ends = np.flatnonzero(points[:-1, 2] > 0.5) + 1
        for stroke in np.split(points[:, :2] * size, ends):
            pencil.line([tuple(p) for p in stroke], fill=255, width=size // 28 + 1)
        drawing[..., 0] = np.asarray(canvas, np.float32) / 255.0
    return drawings
