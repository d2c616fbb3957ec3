"""The measure ``diffusion_decoder``: pictures drawn given z beside the decoder's means.

Both show the z that protocol v1 drew, so that what differs is how z is shown. Quality
is the Fréchet distance to the real test data in the classifiers' last hidden layer, of
pictures rounded to 8 bit; it is no FID.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import numpy as np

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.coherence import accuracies_of
from jnf_jax.evaluation.measures.features import as_shown, pictures_of
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.statistics.frechet import (
    Gaussian,
    average_conditional,
    frechet_distance,
    gaussian_of,
)
from jnf_jax.evaluation.subject import Subject
from jnf_jax.networks.classifier import Classifier
from jnf_jax.options import option
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Views

SHOWN_BY = ("means", "draws")

Judged = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
"""{"means" | "draws": {m: (labels i32[N], features f32[N, F])}}"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How drawn pictures are measured."""

    num_prior_samples: int = option(
        2_000,
        "Draws from each prior, the first of the protocol's: a drawn picture costs as "
        "many network calls as its sampler takes steps.",
        at_least=1,
    )


NEEDS_LABELS = True


def data_faults(
    settings: Settings, field: str, dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    """Tells what classifiers of the data cannot do with so few draws, or at all."""
    if dataset.read_label is not None:
        return [
            "`evaluation.measures` has 'diffusion_decoder', expected data that "
            f"classifiers are trained for: a rule reads {dataset.name!r}, which "
            "has no features"
        ]
    fields = {
        f"{field}.num_prior_samples": settings.num_prior_samples,
        "evaluation.num_prior_samples": protocol.num_prior_samples,
    }
    least = Classifier.hidden_size
    return [
        f"`{name}` is {got}, expected more than the {least} features that their "
        "Frechet distance is in"
        for name, got in fields.items()
        if got <= least
    ]


TABLES = (
    Table(
        "Pictures drawn by the diffusion decoder beside the decoder's means of the "
        "same z: coherence by the number of modalities given, jointly, and the "
        "ceiling; Fréchet distance in the classifiers' features (no FID) by the "
        "number of modalities given and by the prior:",
        tuple(
            Column(f"{said}, {by}", f"{path}.{by}", digits, 0.0, high, best)
            for path, said, digits, high, best in (
                ("conditional", "coherence", 3, 1.0, "high"),
                ("joint", "joint", 3, 1.0, "high"),
                ("ceiling", "ceiling", 3, 1.0, "high"),
                ("frechet", "Frechet distance", 2, math.inf, "low"),
            )
            for by in SHOWN_BY
        ),
    ),
)


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Every subset, all modalities and each prior, shown both ways.

    Returns:
        {"conditional": {"means" | "draws": {size: share}}, "joint": {…: {prior:
        share}}, "ceiling": {…: share}, "frechet": {…: {size or prior: distance}}}; see
        docs/results_schema.md.

    Raises:
        ValueError: Without a decoder that draws, or classifiers with features.
    """
    if subject.decoder is None or subject.classifiers.features is None:
        raise ValueError(
            "`evaluation.measures` has 'diffusion_decoder', expected a config with "
            "`denoiser` and data that classifiers are trained for"
        )
    unlabelled = subject.held_out.unlabelled
    names = tuple(m for m in subject.inference.modalities if m not in unlabelled)
    keys = iter(jax.random.split(jax.random.key(subject.protocol.seed), 2**16))
    reference = _reference(subject)

    def distances(shown: dict[str, tuple]) -> dict[str, float]:
        return {
            m: frechet_distance(gaussian_of([features]), reference[m])
            for m, (_, features) in shown.items()
            if m in reference
        }

    accuracies, apart, joint = ({by: {} for by in SHOWN_BY} for _ in range(3))
    for subset in (s for s in subject.judged if s in subject.draws.given):
        z = subject.draws.given[subset]
        targets = tuple(m for m in names if m not in subset)
        for by, shown in _judged(subject, z, targets, next(keys)).items():
            apart[by][subset] = distances(shown)
            predicted = {m: labels for m, (labels, _) in shown.items()}
            accuracies[by][subset] = accuracies_of(predicted, subject.held_out)
        subject.report(f"drawn given {', '.join(subset)}")
    conditional = {
        by: coherence.coherence_table(a, subject.judged, unlabelled).macro
        for by, a in accuracies.items()
    }
    frechet = {by: average_conditional(given) for by, given in apart.items()}
    for prior, z in subject.draws.unconditional.items():
        z = jax.tree.map(lambda leaf: leaf[: settings.num_prior_samples], z)
        for by, shown in _judged(subject, z, names, next(keys)).items():
            joint[by][prior] = _agreement(shown)
            if reference:
                frechet[by][prior] = float(np.mean([*distances(shown).values()]))
    z = subject.infer(next(keys), tuple(subject.inference.modalities))
    ceiling = _judged(subject, z, names, next(keys))
    return {
        "conditional": conditional,
        "joint": joint,
        "ceiling": {by: _agreement(shown) for by, shown in ceiling.items()},
        "frechet": frechet,
    }


def _agreement(shown: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    return coherence.agreement({m: labels for m, (labels, _) in shown.items()}).share


def _judged(
    subject: Subject, z: Any, targets: tuple[str, ...], rng_key: jax.Array
) -> Judged:
    """Lets the classifiers judge z, leaves [N, ...], shown both ways."""
    judge = functools.partial(
        _judge_both,
        subject.inference,
        subject.decoder,
        targets,
        pictures_of(subject),
        jax.tree_util.Partial(subject.classifiers.predict),
        jax.tree_util.Partial(subject.classifiers.features),
        subject.params,
    )

    def one_batch(number: int, rows: np.ndarray) -> Any:
        part = jax.tree.map(lambda leaf: leaf[rows], z)
        part = parallel.put_batch(part, subject.held_out.mesh)
        return judge(jax.random.fold_in(rng_key, number), part)

    size = len(jax.tree.leaves(z)[0])
    return map_batches(one_batch, size, subject.protocol.batch_size)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _judge_both(
    inference, decoder, targets, pictures, predict, features, params, rng_key, z
):
    decoded = inference.decode(params, z)
    shown = {
        "means": {m: decoded[m].mean() for m in targets},
        "draws": decoder.draw(params, rng_key, z, targets),
    }
    found = {}
    for by, views in shown.items():
        labels = predict(views)
        hidden = features({m: as_shown(x, m in pictures) for m, x in views.items()})
        found[by] = {m: (labels[m], hidden[m]) for m in targets}
    return found


def _reference(subject: Subject) -> dict[str, Gaussian]:
    """{m: moments of real features}; none, and a line, of too few tuples."""
    real = _real_features(subject)
    size = max(features.shape[-1] for features in real.values())
    if subject.num_tuples > size:
        return {m: gaussian_of([features]) for m, features in real.items()}
    subject.report(
        f"not measured: Frechet distances of drawn pictures need more than {size} test "
        f"tuples, one for each feature, and there are {subject.num_tuples}"
    )
    return {}


def _real_features(subject: Subject) -> dict[str, np.ndarray]:
    pictures = pictures_of(subject)

    @jax.jit
    def read(features, views: Views) -> dict[str, jax.Array]:
        return features({m: as_shown(x, m in pictures) for m, x in views.items()})

    features = jax.tree_util.Partial(subject.classifiers.features)
    return subject.over_tuples(lambda _, views: read(features, dict(views)))
