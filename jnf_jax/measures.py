"""What can be measured beside protocol v1: a name, its settings, what it needs.

``config.evaluation.measures`` names those that an evaluation runs, and the section
``evaluation.<name>`` holds the settings of each. A measure is a function of a
``Subject`` and its settings that returns what the record holds under its name, ready
for JSON: numbers as floats in objects, never in lists, so that seeds can be summarised.
What tables show of it is declared in ``jnf_jax/results/shown.py``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jnf_jax import drawn_pictures, frechet
from jnf_jax.features import FrechetSettings
from jnf_jax.metrics.posterior_match import MatchSettings, evaluate_match
from jnf_jax.subject import Subject


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Of a measure without options."""

    def faults(self, field: str) -> list[str]:
        """Nothing can be wrong."""
        del field
        return []


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        run: ``(subject, settings) -> {...}``, what the record holds.
        settings: Class of its settings: frozen, with defaults and ``faults(field)``.
        needs_labels: Whether a data set without labels has to go without it.
    """

    run: Callable[[Subject, Any], dict[str, Any]]
    settings: type = NoSettings
    needs_labels: bool = False


def _posterior_match(subject: Subject, settings: MatchSettings) -> dict[str, Any]:
    return evaluate_match(
        subject.inference,
        subject.params,
        subject.held_out,
        subject.protocol,
        settings,
        report=subject.report,
    )


MEASURES: dict[str, Measure] = {
    "diffusion_decoder": Measure(
        drawn_pictures.measure, drawn_pictures.DrawnSettings, needs_labels=True
    ),
    "frechet": Measure(frechet.measure, FrechetSettings),
    "posterior_match": Measure(_posterior_match, MatchSettings),
}
"""Name in ``evaluation.measures``, section of the config, key of the record."""


def run(asked: Mapping[str, Any], subject: Subject) -> dict[str, dict[str, Any]]:
    """Runs the measures that are asked for, in their order.

    Args:
        asked: Name in ``MEASURES`` -> its settings.
        subject: What they measure.

    Returns:
        {name: what it found, and its settings}; one that needs labels where there are
        none is left out, and a line says so.
    """
    found = {}
    for name, settings in asked.items():
        if MEASURES[name].needs_labels and subject.dataset.num_classes is None:
            data = subject.dataset.name
            subject.report(f"not measured: {name} needs labels, and {data!r} has none")
            continue
        own = {"settings": _recorded(settings)}
        found[name] = own | MEASURES[name].run(subject, settings)
    return found


def _recorded(settings: Any) -> dict[str, Any]:
    """Settings without files and folders: where they lay says nothing of a number."""
    fields = dataclasses.asdict(settings).items()
    return {name: v for name, v in fields if not name.endswith(("_dir", "_file"))}
