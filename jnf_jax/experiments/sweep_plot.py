"""The plot of an ablation: a panel a quantity, a line for each of the other axes."""

import math
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jnf_jax.evaluation.measures.tables import find
from jnf_jax.experiments.ablations import Ablation, look_up
from jnf_jax.experiments.schema import Record, is_summary
from jnf_jax.experiments.text import mean_of


class Point(NamedTuple):
    """One variant in a panel; ``below`` and ``above`` are the lengths of its bar.

    ``value`` is that of the axis which its line follows.
    """

    x: Any
    mean: float
    below: float
    above: float
    value: Any


def points_of(ablation: Ablation, quantity: str) -> dict[str, list[Point]]:
    """{legend: points}, in the order of the variants.

    Bars are the sd over seeds; of one seed the bootstrap interval where the record has
    one, else 0. What was not measured is NaN.
    """
    x_axis, axes = ablation["plot"]["x"], ablation["axes"]
    follows = x_axis if x_axis in axes else axes[-1]
    others = [axis for axis in axes if axis != follows]
    lines: dict[str, list[Point]] = {}
    for variant in ablation["variants"]:
        legend = ", ".join(f"{a.split('.')[-1]} {variant['values'][a]}" for a in others)
        value = look_up(variant["record"], quantity)
        if is_summary(value):
            mean, below, above = value["mean"], value["sd"], value["sd"]
        else:
            mean = math.nan if value is None else value
            bar = _interval(variant["record"], quantity)
            low, high = (bar["low"], bar["high"]) if bar else (mean, mean)
            below, above = max(mean - low, 0.0), max(high - mean, 0.0)
        x = place = variant["values"][follows]
        if x_axis not in axes:
            x = mean_of(look_up(variant["record"], x_axis))
            x = math.nan if x is None else x
        lines.setdefault(legend, []).append(Point(x, mean, below, above, place))
    return lines


def _interval(record: Record, quantity: str) -> dict[str, float] | None:
    """The bootstrap interval of a coherence, where the record has it."""
    section, _, name = quantity.partition(".")
    of = {"coherence": "", "subset_coherence": "subsets."}.get(section)
    return None if of is None else find(record, f"coherence.interval.{of}{name}")


def draw(ablation: Ablation, path: Path) -> Path:
    """Writes the plot as PNG; error bars are those of ``points_of``.

    Axes whose values are no numbers are drawn as categories.
    """
    plot = ablation["plot"]
    figure = Figure(figsize=(4.4 * len(plot["y"]), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(plot["y"]), squeeze=False)[0]
    for panel, quantity in zip(panels, plot["y"], strict=True):
        lines = points_of(ablation, quantity)
        xs = list(dict.fromkeys(p.x for line in lines.values() for p in line))
        numeric = all(type(x) in (int, float) for x in xs)
        at = {x: x if numeric else place for place, x in enumerate(xs)}
        for legend, points in lines.items():
            x, mean, *bars, _ = zip(*points, strict=True)
            panel.errorbar(
                [at[v] for v in x], mean, bars if any(map(any, bars)) else None,
                label=legend, marker="o", capsize=3,
            )  # fmt: skip
            for point in points if plot["x"] not in ablation["axes"] else ():
                told = dict(textcoords="offset points", xytext=(4, 4), fontsize=7)
                panel.annotate(str(point.value), (point.x, point.mean), **told)
        if plot["log_x"]:
            panel.set_xscale("log")
        if plot["x"] in ablation["axes"]:
            panel.set_xticks([at[x] for x in xs], [str(x) for x in xs])
            panel.set_xticks([], minor=True)
        panel.set(xlabel=_in_lines(plot["x"]), title=_in_lines(quantity))
        panel.title.set_fontsize(9)
        if any(lines):
            panel.legend(fontsize=8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def _in_lines(path: str) -> str:
    """A dotted path, broken at dots into lines that a panel has room for."""
    return "\n".join(textwrap.wrap(path.replace(".", ". "), 44)).replace(". ", ".")
