"""What can be measured beside protocol v1: a name, its settings, what it needs.

``config.evaluation.measures`` names those that an evaluation runs, and the section
``evaluation.<name>`` holds the settings of each. A measure is a function of a
``Subject`` and its settings that returns what the record holds under its name, ready
for JSON: numbers as floats in objects, never in lists, so that seeds can be summarised.
What tables show of it is declared in ``jnf_jax/experiments/shown.py``.
"""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.measures import diffusion_decoder, frechet
from jnf_jax.evaluation.measures.features import FrechetSettings
from jnf_jax.evaluation.measures.likelihood import (
    LikelihoodSettings,
    evaluate_likelihood,
)
from jnf_jax.evaluation.measures.posterior_match import MatchSettings, evaluate_match
from jnf_jax.evaluation.measures.representation import (
    RepresentationSettings,
    evaluate_representation,
)
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import Subject
from jnf_jax.runtime import parallel
from jnf_jax.sampling import LogNormaliser
from jnf_jax.types import Params


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Of a measure without options."""

    def faults(self, field: str) -> list[str]:
        """Nothing can be wrong."""
        del field
        return []


DataFaults = Callable[[Any, str, Dataset, ProtocolSettings], list[str]]


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        run: ``(subject, settings) -> {...}``, what the record holds.
        settings: Class of its settings: frozen, with defaults and ``faults(field)``.
        needs_labels: Whether a data set without labels has to go without it.
        data_faults: ``(settings, field, dataset, protocol) -> [...]``, what the data
            are too few for, one line a fault, known before anything is trained.
    """

    run: Callable[[Subject, Any], dict[str, Any]]
    settings: type = NoSettings
    needs_labels: bool = False
    data_faults: DataFaults = lambda settings, field, dataset, protocol: []


def _posterior_match(subject: Subject, settings: MatchSettings) -> dict[str, Any]:
    return evaluate_match(
        subject.inference,
        subject.params,
        subject.held_out,
        subject.protocol,
        settings,
        report=subject.report,
    )


def _match_faults(
    settings: MatchSettings, field: str, dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    num_tuples = protocol.num_tuples or dataset.splits["test"].size
    return settings.data_faults(field, num_tuples)


def _likelihood(subject: Subject, settings: LikelihoodSettings) -> dict[str, Any]:
    return evaluate_likelihood(
        subject.inference,
        subject.params,
        subject.held_out,
        subject.protocol,
        settings,
        log_normaliser=_log_normaliser(subject),
        report=subject.report,
    )


NUM_ANNEALED, NUM_TEMPERATURES = 1_000, 1_000
"""Chains, and steps of each, that estimate log Z of an energy-based prior."""

LEAST_ESS = 100
"""Of the annealed chains; with fewer, their own error of log Z is not to be trusted."""


def _log_normaliser(subject: Subject) -> LogNormaliser | None:
    """log Z of the model's own prior, where that is an energy's."""
    inference, name = subject.inference, subject.inference.prior_names[0]

    @jax.jit
    def estimate(params: dict[str, Params], rng_key: jax.Array) -> LogNormaliser | None:
        return inference.prior_of(params, name).log_normaliser(
            rng_key, num_chains=NUM_ANNEALED, num_temperatures=NUM_TEMPERATURES
        )

    found = estimate(subject.params, jax.random.key(subject.protocol.seed))
    if found is None:
        return None
    subject.report(
        f"log Z of {name}: {found.value:.2f} +- {found.standard_error:.2f} nats, "
        f"ESS {found.ess:.0f} of {NUM_ANNEALED}"
    )
    if not found.ess >= LEAST_ESS:  # nor NaN
        warnings.warn(
            f"log Z of {name} rests on {found.ess:.0f} of {NUM_ANNEALED} annealed "
            "chains: it is likely to be too small, likelihoods too large",
            stacklevel=2,
        )
    return found


def _representation(
    subject: Subject, settings: RepresentationSettings
) -> dict[str, Any]:
    split, of_test = subject.dataset.splits["train"], subject.held_out
    training = of_test._replace(
        arrays=parallel.put(split.arrays, parallel.replicated(of_test.mesh)),
        size=split.size,
        labels=split.labels,
        rows=split.rows,
    )
    return evaluate_representation(
        subject.inference,
        subject.params,
        training,
        of_test,
        subject.protocol,
        settings,
        report=subject.report,
    )


def _representation_faults(
    settings: RepresentationSettings,
    field: str,
    dataset: Dataset,
    protocol: ProtocolSettings,
) -> list[str]:
    del protocol
    labels = dataset.splits["train"].labels
    return [] if labels is None else settings.data_faults(field, labels)


MEASURES: dict[str, Measure] = {
    "diffusion_decoder": Measure(
        diffusion_decoder.measure,
        diffusion_decoder.DrawnSettings,
        needs_labels=True,
        data_faults=diffusion_decoder.DrawnSettings.data_faults,
    ),
    "frechet": Measure(frechet.measure, FrechetSettings),
    "posterior_match": Measure(
        _posterior_match, MatchSettings, data_faults=_match_faults
    ),
    "likelihood": Measure(_likelihood, LikelihoodSettings),
    "representation": Measure(
        _representation, RepresentationSettings, data_faults=_representation_faults
    ),
}
"""Name in ``evaluation.measures``, section of the config, key of the record."""


def data_faults(
    asked: Mapping[str, Any], dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    """What would stop these measures on these data, one line a fault.

    Sizes that only leave out a part of a measure are none: it says so when it runs.
    """
    return [
        fault
        for name, settings in asked.items()
        if dataset.num_classes is not None or not MEASURES[name].needs_labels
        for fault in MEASURES[name].data_faults(
            settings, f"evaluation.{name}", dataset, protocol
        )
    ]


def run(
    asked: Mapping[str, Any],
    subject: Subject,
    before_each: Callable[[dict[str, Any], list[str]], None] = lambda found, names: (
        None
    ),
) -> dict[str, dict[str, Any]]:
    """Runs the measures that are asked for, in their order.

    Args:
        asked: Name in ``MEASURES`` -> its settings.
        subject: What they measure.
        before_each: Called with what was found so far, and the names still to come.

    Returns:
        {name: what it found, and its settings}; one that needs labels where there are
        none is left out, and a line says so.
    """
    found = {}
    for done, (name, settings) in enumerate(asked.items()):
        before_each(found, [*asked][done:])
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
