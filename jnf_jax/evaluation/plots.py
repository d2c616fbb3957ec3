"""Histograms and curves as uint8 arrays."""

from collections.abc import Mapping

import numpy as np

from jnf_jax.evaluation.pictures import Picture

_COLOURS = ("#1f5aaa", "#c83c28", "#6e6e6e", "#288c46")
_OUTSIDE = 0.002
"""Share of each sample's draws that may lie beyond either end of the axis."""


def histogram(
    samples: Mapping[str, np.ndarray], *, title: str, num_bins: int = 80
) -> Picture:
    """Densities of samples {legend: f32[N]} over one axis, each of area one.

    The few values that lie far out are not shown; ``title`` says what the axis is.

    Raises:
        ValueError: No sample, more than four, an empty one, or values that are not
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
    # Slow to import, and only needed here.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ends = [np.quantile(x, (_OUTSIDE, 1 - _OUTSIDE)) for x in samples.values()]
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    edges = np.linspace(low, high, num_bins + 1)
    canvas = FigureCanvasAgg(Figure(figsize=(7.2, 3.8), dpi=100))
    axes = canvas.figure.add_axes((0.055, 0.1, 0.89, 0.72))
    for (name, values), colour in zip(samples.items(), _COLOURS, strict=False):
        shares = np.histogram(values, edges)[0] / np.size(values)
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.2)
        axes.stairs(shares, edges, color=colour, linewidth=1.5, label=name)
    axes.set(xlim=(low, high), ylim=(0, None), yticks=[])
    axes.spines[["left", "right", "top"]].set_visible(False)
    canvas.figure.text(0.055, 0.94, title)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def reliability(curves: Mapping[str, Mapping[int, float]], *, title: str) -> Picture:
    """Share of true values in intervals over their level, {legend: {per cent: share}}.

    A forecast that is right lies on the diagonal; below it intervals are too narrow.

    Raises:
        ValueError: No curve.

    >>> reliability({"a": {50: 0.4, 95: 0.9}}, title="coverage").shape
    (480, 520, 3)
    """
    if not curves:
        raise ValueError("`curves` is empty, expected one or more")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(5.2, 4.8), dpi=100))
    axes = canvas.figure.add_axes((0.12, 0.12, 0.84, 0.78))
    axes.plot((0, 100), (0, 100), color="#999999", linestyle="--", linewidth=1)
    for name, curve in curves.items():
        levels = sorted(curve)
        shares = [100 * curve[level] for level in levels]
        axes.plot(levels, shares, marker="o", markersize=3, linewidth=1.5, label=name)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set(xlabel="level of the interval, %", ylabel="true values in it, %")
    axes.spines[["right", "top"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False, fontsize="small")
    canvas.figure.text(0.03, 0.95, title, fontsize="small")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
