"""The measures beside protocol v1: one file each, found by its name here.

``config.evaluation.measures`` names those that an evaluation runs, the section
``evaluation.<name>`` holds the settings of each, and the record keeps what it found
under ``<name>``. The file of a measure holds

================  ======================================================================
``Settings``      frozen dataclass of options (``jnf_jax.options``)
``measure``       ``(subject, settings) -> {…}``, ready for JSON: numbers as floats in
                  objects, never in lists, so that seeds can be summarised
``TABLES``        which of these numbers people see, and their ranges (``tables.py``)
``data_faults``   optional: ``(settings, field, dataset, protocol) -> […]``, what the
                  data do not allow, told before anything is trained
``pictures``      optional: ``(what the measure found) -> {file.png: picture}``
``NEEDS_LABELS``  optional: True where data without labels have to go without it
================  ======================================================================

A module is imported when it is asked for: whoever only needs the names imports no jax.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

MEASURES = {
    "diffusion_decoder": "jnf_jax.evaluation.measures.diffusion_decoder",
    "frechet": "jnf_jax.evaluation.measures.frechet",
    "likelihood": "jnf_jax.evaluation.measures.likelihood",
    "representation": "jnf_jax.evaluation.measures.representation",
    "posterior_match": "jnf_jax.evaluation.measures.posterior_match",
    "imputation": "jnf_jax.evaluation.measures.imputation",
    "label_distribution": "jnf_jax.evaluation.measures.label_distribution",
}
"""Name -> module; records and documents show them in this order."""


def load(name: str) -> ModuleType:
    """The module of a measure in ``MEASURES``."""
    return importlib.import_module(MEASURES[name])


def needs_labels(name: str) -> bool:
    """Whether a data set without labels has to go without this measure."""
    return getattr(load(name), "NEEDS_LABELS", False)


def data_faults(asked: Mapping[str, Any], dataset: Any, protocol: Any) -> list[str]:
    """Everything that would stop these measures on these data, one line a fault.

    A size that only leaves out a part of a measure is no fault: the measure says so.
    """
    found = []
    for name, settings in asked.items():
        check = getattr(load(name), "data_faults", None)
        if check and not (dataset.num_classes is None and needs_labels(name)):
            found += check(settings, f"evaluation.{name}", dataset, protocol)
    return found


def pictures(record: Mapping[str, Any]) -> dict[str, Any]:
    """{file.png: picture} of all that a record holds of measures that draw some."""
    found = {}
    for name in MEASURES:
        if name in record and (draw := getattr(load(name), "pictures", None)):
            found |= draw(record[name])
    return found


def run(
    asked: Mapping[str, Any],
    subject: Any,
    before_each: Callable[[dict[str, Any], list[str]], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Runs the measures that are asked for, in their order, on a ``Subject``.

    ``before_each`` is called with what was found so far, and the names still to come.

    Returns:
        {name: what it found, and its settings without files and folders}: where those
        lay says nothing of a number. A measure that needs labels is left out where
        there are none, and a line says so.
    """
    found = {}
    for done, (name, settings) in enumerate(asked.items()):
        if before_each is not None:
            before_each(found, [*asked][done:])
        if subject.dataset.num_classes is None and needs_labels(name):
            data = subject.dataset.name
            subject.report(f"not measured: {name} needs labels, and {data!r} has none")
            continue
        fields = dataclasses.asdict(settings).items()
        own = {k: v for k, v in fields if not k.endswith(("_dir", "_file"))}
        found[name] = {"settings": own, **load(name).measure(subject, settings)}
    return found
