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


class Point(NamedTuple):
    """One variant in a panel; ``below`` and ``above`` are the lengths of its bar."""

    x: Any
    mean: float
    below: float
    above: float


def points_of(ablation: Ablation, quantity: str) -> dict[str, list[Point]]:
    """{legend: points}, in the order of the variants.

    Bars are the sd over seeds; of one seed the bootstrap interval where the record has
    one, else 0. What was not measured is NaN.
    """
    x_axis = ablation["plot"]["x"]
    others = [axis for axis in ablation["axes"] if axis != x_axis]
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
        x = variant["values"][x_axis]
        lines.setdefault(legend, []).append(Point(x, mean, below, above))
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
            x, mean, *bars = zip(*points, strict=True)
            panel.errorbar(
                [at[v] for v in x], mean, bars if any(map(any, bars)) else None,
                label=legend, marker="o", capsize=3,
            )  # fmt: skip
        if plot["log_x"]:
            panel.set_xscale("log")
        panel.set_xticks([at[x] for x in xs], [str(x) for x in xs])
        panel.set_xticks([], minor=True)
        panel.set(xlabel=plot["x"], title=_in_lines(quantity))
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
