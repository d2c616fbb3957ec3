"""Charts as SVG that takes its colours from the page: lines, and a cloud of points."""

import colorsys
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

Number = int | float

WIDTH, HEIGHT = 440, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 36

MAX_POINTS = 240
"""Of a line; more are thinned."""

NUM_COLOURS = 8
"""Colours of lines; the style sheet has as many, as ``--c0`` to ``--c7``."""

_CLASSES = (
    *("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f"),
    *("#b8960c", "#b07aa1", "#ff6f91", "#9c755f", "#79706e"),
)


class Line(NamedTuple):
    """Points of one line; a ``dashed`` one has dots at its points.

    Attributes:
        colour: Its number; runs differ in it.
    """

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    colour: int
    dashed: bool = False


def line_chart(lines: Sequence[Line], *, title: str) -> str:
    """Lines over training steps, with a title that is read out in place of them.

    The first few percent of steps often lie far above all others: the frame ends where
    the rest does, and cuts them off.
    """
    lines = [_thinned(line) for line in lines if line.x]
    if not lines:
        return ""
    right = max(max(line.x) for line in lines) or 1.0
    kept = [
        y
        for line in lines
        for x, y in zip(line.x, line.y, strict=True)
        if x >= 0.08 * right or len(line.x) < 8
    ]
    low, high = min(kept), max(kept)
    if high == low:
        low, high = low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    low, high = low - margin, high + margin
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def across(x: Number) -> Number:
        return x / right * wide

    def down(y: Number) -> Number:
        return min(max((high - y) / (high - low) * tall, -tall), 2 * tall)

    parts = [_axes(right, low, high)]
    inner = []
    for line in lines:
        points = [(across(x), down(y)) for x, y in zip(line.x, line.y, strict=True)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        style = f'class="line{" dashed" if line.dashed else ""}"'
        colour = f'style="stroke:var(--c{line.colour % NUM_COLOURS})"'
        inner.append(f'<path {style} {colour} d="{path}"/>')
        if line.dashed:
            dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
            inner.append(f'<path class="dots" {colour} d="{dots}"/>')
    parts.append(
        f'<svg x="{_LEFT}" y="{_TOP}" width="{wide}" height="{tall}" '
        f'viewBox="0 0 {wide} {tall}">{"".join(inner)}</svg>'
    )
    return _svg(WIDTH, HEIGHT, title, "".join(parts))


def _svg(width: int, height: int, title: str, inner: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{inner}</svg>'
    )


def _axes(right: Number, low: Number, high: Number) -> str:
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    parts = []
    for value in ticks(low, high, 5):
        y = _TOP + (high - value) / (high - low) * tall
        parts.append(
            f'<path class="rule" d="M{_LEFT} {y:.1f}h{wide}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{number(value)}</text>"
        )
    for value in ticks(0, right, 4):
        x = _LEFT + value / right * wide
        anchor = "end" if x > WIDTH - 24 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 20}" text-anchor="{anchor}">'
            f"{number(value)}</text>"
        )
    parts.append(
        f'<text x="{_LEFT + wide / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">'
        "step</text>"
    )
    return "".join(parts)


def ticks(low: Number, high: Number, num: int) -> list[Number]:
    """About ``num`` round numbers from ``low`` to ``high``.

    >>> ticks(0, 2300, 4), ticks(-0.3, 0.25, 5)
    ([0, 1000, 2000], [-0.2, 0.0, 0.2])
    """
    rough = (high - low) / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    found = [round(i * step, 12) for i in range(first, last + 1)]
    return [int(x) for x in found] if step >= 1 else found


def number(value: Number) -> str:
    """A number as an axis shows it.

    >>> number(20000), number(0.2), number(-1500), number(2_500_000)
    ('20k', '0.2', '-1.5k', '2.5M')
    """
    for size, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            scale = 1e6 if unit == "M" else 1e3
            return f"{value / scale:g}{unit}"
    return f"{value / 1e3:g}k" if abs(value) >= 1e3 else f"{value:g}"


def _thinned(line: Line) -> Line:
    """Every so many points, and the last."""
    every = math.ceil(len(line.x) / MAX_POINTS)
    kept = sorted({*range(0, len(line.x), every), len(line.x) - 1})
    return line._replace(x=[line.x[i] for i in kept], y=[line.y[i] for i in kept])


def class_colour(number: int, count: int) -> str:
    """A colour of its own for each of ``count`` classes."""
    if count <= len(_CLASSES):
        return _CLASSES[number % len(_CLASSES)]
    red, green, blue = colorsys.hls_to_rgb(number / count, 0.52, 0.62)
    return "#" + "".join(f"{round(255 * x):02x}" for x in (red, green, blue))


def cloud(
    points: Sequence[Sequence[Number]],
    labels: Sequence[int] | None,
    others: Mapping[str, Sequence[Sequence[Number]]],
    *,
    title: str,
) -> str:
    """Points in the plane, coloured by label; ``others`` are crosses of one colour.

    Both axes have one scale: distances are what they look like.
    """
    every = [*points, *(point for of in others.values() for point in of)]
    low = [min(point[i] for point in every) for i in (0, 1)]
    span = max(max(p[i] for p in every) - low[i] for i in (0, 1)) or 1.0
    high = [max(point[i] for point in every) for i in (0, 1)]
    middle = [(low[i] + high[i]) / 2 for i in (0, 1)]
    side, margin = 360, 10
    scale = (side - 2 * margin) / span

    def place(point: Sequence[Number]) -> str:
        x = side / 2 + (point[0] - middle[0]) * scale
        y = side / 2 - (point[1] - middle[1]) * scale
        return f"M{x:.1f} {y:.1f}"

    known = sorted(set(labels)) if labels is not None else []
    parts = []
    for position, label in enumerate(known):
        own = [p for p, of in zip(points, labels, strict=True) if of == label]
        path = "".join(f"{place(point)}h0" for point in own)
        colour = class_colour(position, len(known))
        parts.append(f'<path class="points" style="stroke:{colour}" d="{path}"/>')
    if labels is None:
        path = "".join(f"{place(point)}h0" for point in points)
        parts.append(f'<path class="points" style="stroke:var(--c0)" d="{path}"/>')
    for of in others.values():
        path = "".join(f"{place(point)}m-4 0h8m-4-4v8" for point in of)
        parts.append(f'<path class="cross" d="{path}"/>')
    return _svg(side, side, title, "".join(parts))
