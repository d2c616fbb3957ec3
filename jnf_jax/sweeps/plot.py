"""The plot of an ablation: a panel a quantity, a line for each of the other axes."""

import math
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jnf_jax.results.ablations import Ablation, look_up
from jnf_jax.results.schema import is_summary


def points_of(
    ablation: Ablation, quantity: str
) -> dict[str, list[tuple[Any, float, float]]]:
    """{legend: [(x, mean, sd)]}, in the order of the variants.

    The sd is 0 with one seed; what was not measured is NaN.
    """
    x_axis = ablation["plot"]["x"]
    others = [axis for axis in ablation["axes"] if axis != x_axis]
    lines: dict[str, list[tuple[Any, float, float]]] = {}
    for variant in ablation["variants"]:
        legend = ", ".join(f"{a.split('.')[-1]} {variant['values'][a]}" for a in others)
        value = look_up(variant["record"], quantity)
        if is_summary(value):
            mean, sd = value["mean"], value["sd"]
        else:
            mean, sd = (math.nan if value is None else value), 0.0
        lines.setdefault(legend, []).append((variant["values"][x_axis], mean, sd))
    return lines


def draw(ablation: Ablation, path: Path) -> Path:
    """Writes the plot as PNG; error bars are the sd over seeds.

    Axes whose values are no numbers are drawn as categories.
    """
    plot = ablation["plot"]
    figure = Figure(figsize=(4.4 * len(plot["y"]), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(plot["y"]), squeeze=False)[0]
    for panel, quantity in zip(panels, plot["y"], strict=True):
        lines = points_of(ablation, quantity)
        xs = list(dict.fromkeys(x for line in lines.values() for x, _, _ in line))
        numeric = all(type(x) in (int, float) for x in xs)
        at = {x: x if numeric else place for place, x in enumerate(xs)}
        for legend, points in lines.items():
            x, mean, sd = zip(*points, strict=True)
            bars = sd if any(sd) else None
            panel.errorbar(
                [at[v] for v in x], mean, bars, label=legend, marker="o", capsize=3
            )
        if plot["log_x"]:
            panel.set_xscale("log")
        panel.set_xticks([at[x] for x in xs], [str(x) for x in xs])
        panel.set_xticks([], minor=True)
        panel.set(xlabel=plot["x"], title=quantity)
        panel.title.set_fontsize(9)
        if any(lines):
            panel.legend(fontsize=8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path
