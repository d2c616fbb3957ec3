"""Histograms as uint8 arrays, of nothing but PIL."""

import math
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jnf_jax.evaluation.pictures import Picture

_COLOURS = ((31, 90, 170), (200, 60, 40), (110, 110, 110), (40, 140, 70))
_INK, _PAPER, _FILL = (70, 70, 70), (255, 255, 255), 50
_WIDTH, _HEIGHT, _MARGIN, _HEAD = 720, 380, 40, 34
_OUTSIDE = 0.002
"""Share of each sample's draws that may lie beyond either end of the axis."""


def histogram(
    samples: Mapping[str, np.ndarray], *, title: str, num_bins: int = 80
) -> Picture:
    """Densities of several samples over one axis, each of area one.

    Args:
      samples: legend → values f32[N]; at most four. What few values lie far out are
        not shown.
      title: above the plot; says what the axis is.
      num_bins: of equal width.

    Returns:
      uint8[380, 720, 3].

    Raises:
      ValueError: no sample, more than four, an empty one, or values that are not
        finite.

    >>> histogram({"a": np.zeros(9), "b": np.arange(5.0)}, title="z").shape
    (380, 720, 3)
    """
    if not 1 <= len(samples) <= len(_COLOURS):
        raise ValueError(
            f"`samples` are {sorted(samples)}, expected 1 to {len(_COLOURS)} of them"
        )
    for name, values in samples.items():
        if not np.size(values) or not np.isfinite(values).all():
            raise ValueError(
                f"`samples[{name!r}]` are {np.size(values)} values, expected one or "
                "more, all finite"
            )
    low, high = _range(samples)
    edges = np.linspace(low, high, num_bins + 1)
    heights = {
        name: np.histogram(values, edges)[0] / np.size(values)
        for name, values in samples.items()
    }
    top = max(height.max() for height in heights.values())

    def at_x(value: float) -> float:
        return _MARGIN + (value - low) / (high - low) * (_WIDTH - 2 * _MARGIN)

    def at_y(share: float) -> float:
        return _HEIGHT - _MARGIN - share / top * (_HEIGHT - 2 * _MARGIN - _HEAD)

    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    for colour, height in zip(_COLOURS, heights.values(), strict=False):
        line = [
            (at_x(edge), at_y(share))
            for share, *ends in zip(height, edges[:-1], edges[1:], strict=True)
            for edge in ends
        ]
        layer = Image.new("RGBA", image.size)
        draw = ImageDraw.Draw(layer)
        foot = [(at_x(high), at_y(0.0)), (at_x(low), at_y(0.0))]
        draw.polygon([*line, *foot], fill=(*colour, _FILL))
        draw.line(line, fill=(*colour, 255), width=2)
        image.paste(layer, mask=layer)
    _write(image, title, list(samples), _ticks(low, high), at_x)
    return np.array(image)


def _range(samples: Mapping[str, np.ndarray]) -> tuple[float, float]:
    ends = [
        np.quantile(np.asarray(values, np.float64), (_OUTSIDE, 1 - _OUTSIDE))
        for values in samples.values()
    ]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> np.ndarray:
    """Round numbers, 4 to 10 of them: multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = power * max(m for m in (1, 2, 5) if m * power <= (high - low) / 4)
    return step * np.arange(math.ceil(low / step), math.floor(high / step) + 1)


def _write(
    image: Image.Image, title: str, labels: list[str], ticks: np.ndarray, at_x
) -> None:
    """Axis, ticks, title and legend."""
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    foot = _HEIGHT - _MARGIN
    draw.line([(_MARGIN, foot), (_WIDTH - _MARGIN, foot)], fill=_INK)
    for tick in ticks:
        draw.line([(at_x(tick), foot), (at_x(tick), foot + 5)], fill=_INK)
        draw.text((at_x(tick), foot + 16), f"{tick:g}", _INK, font, anchor="mm")
    draw.text((_MARGIN, 16), title, _INK, font, anchor="lm")
    left = _MARGIN
    for colour, label in zip(_COLOURS, labels, strict=False):
        draw.rectangle([left, 33, left + 12, 41], fill=colour)
        draw.text((left + 18, 37), label, _INK, font, anchor="lm")
        left += 18 + font.getlength(label) + 24
