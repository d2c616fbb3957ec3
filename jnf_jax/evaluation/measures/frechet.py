"""The measure ``frechet``: how far what is generated lies from real data, in features.

Per target modality, given each subset without it, and from each prior. Generated are
the decoder means of protocol v1's z; pictures are rounded to 8 bit as the real ones
are. Distances are named after their features: ``frechet_classifier`` on the last hidden
layer of the frozen classifiers, of every modality; of pictures, ``fid`` on pool3 of
Inception-v3 with the published weights, and ``frechet_inception`` with any others.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jnf_jax.evaluation.measures.features import (
    Extractor,
    FrechetSettings,
    as_shown,
    extractors,
    pictures_of,
)
from jnf_jax.evaluation.protocol import draw_latents
from jnf_jax.evaluation.statistics.frechet import (
    Gaussian,
    Moments,
    add_batch,
    average_conditional,
    frechet_distance,
    gaussian,
)
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.method import Inference
from jnf_jax.runtime import parallel, processes
from jnf_jax.runtime.batching import batches
from jnf_jax.types import Params


def measure(subject: Subject, settings: FrechetSettings) -> dict[str, Any]:
    """Distances of all modalities that the features read, by subset and by prior.

    Args:
        subject: The model and its data.
        settings: The features.

    Returns:
        {name of the distance: {"conditional", "unconditional", …}}, see
        docs/results_schema.md; without those that the data do not allow, of which a
        line is reported.
    """
    counts = _counts(subject)
    features = extractors(subject, settings, min(counts.values()))
    if not features:
        return {}
    read = {m for extractor in features for m in extractor.targets}
    targets = [m for m in subject.inference.modalities if m in read]
    draws = subject.draws or draw_latents(
        subject.inference, subject.params, subject.held_out, subject.protocol
    )
    real = _gaussians(features, _real_pictures(subject, targets))

    def distances(z: Any, outside: tuple[str, ...]) -> dict[str, dict[str, float]]:
        shown = [m for m in targets if m not in outside]
        found = _gaussians(features, _decoded_pictures(subject, shown, z))
        return {
            name: {m: frechet_distance(real[name][m], of) for m, of in by_name.items()}
            for name, by_name in found.items()
        }

    given = {subset: distances(z, subset) for subset, z in draws.given.items()}
    drawn = {prior: distances(z, ()) for prior, z in draws.unconditional.items()}
    found = {}
    for extractor in features:
        name = extractor.distance
        found[name] = summarise(
            {subset: by_name[name] for subset, by_name in given.items()},
            {prior: by_name[name] for prior, by_name in drawn.items()},
        )
        found[name] |= {"num_features": extractor.size, **counts}
        subject.report(f"{name}: {_line(found[name])}")
    return found


def _counts(subject: Subject) -> dict[str, int]:
    protocol = subject.protocol
    return {
        "num_real": protocol.num_tuples or subject.held_out.size,
        "num_unconditional": protocol.num_prior_samples,
    }


def summarise(
    given: Mapping[tuple[str, ...], Mapping[str, float]],
    drawn: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Averages of one distance, as the record holds them.

    Args:
        given: Subset -> target outside it -> distance.
        drawn: Prior -> target -> distance.

    Returns:
        "conditional": size -> mean over targets, then over subsets; "unconditional":
        prior -> mean over targets; "targets": both for each target; "subsets": all.
    """
    targets = sorted({m for by_target in drawn.values() for m in by_target})
    return {
        "conditional": average_conditional(given),
        "unconditional": {p: float(np.mean([*d.values()])) for p, d in drawn.items()},
        "targets": {
            m: {
                "conditional": average_conditional(
                    {s: {m: d[m]} for s, d in given.items() if m in d}
                ),
                "unconditional": {prior: d[m] for prior, d in drawn.items()},
            }
            for m in targets
        },
        "subsets": {"+".join(s): dict(d) for s, d in given.items() if d},
    }


def _line(found: dict[str, Any]) -> str:
    parts = [f"given {size} {d:.3g}" for size, d in found["conditional"].items()]
    parts += [f"from {prior} {d:.3g}" for prior, d in found["unconditional"].items()]
    return ", ".join(parts)


# --- pictures ------------------------------------------------------------------------

Pictures = Iterator[tuple[dict[str, jax.Array], int]]
"""Batches {m: f32[B, ...] as shown}, and how many rows of each count."""


def _gaussians(
    features: list[Extractor], pictures: Pictures
) -> dict[str, dict[str, Gaussian]]:
    """{distance: {modality: moments of all its pictures}}."""
    moments: dict[str, dict[str, Moments]] = {e.distance: {} for e in features}
    for views, count in pictures:
        for extractor in features:
            known = moments[extractor.distance]
            for m in [m for m in views if m in extractor.targets]:
                x = views[m]
                batch = processes.to_host(extractor.extract(m, x))[:count]
                known[m] = add_batch(known.get(m), batch)
    return {
        name: {m: gaussian(of) for m, of in known.items()}
        for name, known in moments.items()
    }


def _real_pictures(subject: Subject, targets: list[str]) -> Pictures:
    pictures = pictures_of(subject)
    size = _counts(subject)["num_real"]
    for rows, count in batches(size, min(subject.protocol.batch_size, size)):
        views = subject.held_out.views(rows)
        yield {m: as_shown(views[m], m in pictures) for m in targets}, count


def _decoded_pictures(subject: Subject, shown: list[str], z: Any) -> Pictures:
    """What decoders make of z; ``z`` has leaves [N, ...] on the host."""
    pictures = pictures_of(subject)
    size = len(jax.tree.leaves(z)[0])
    for rows, count in batches(size, min(subject.protocol.batch_size, size)):
        part = jax.tree.map(lambda leaf, rows=rows: leaf[rows], z)
        part = parallel.put_batch(part, subject.held_out.mesh)
        decoded = _decode(subject.inference, pictures, subject.params, part)
        yield {m: decoded[m] for m in shown}, count


@functools.partial(jax.jit, static_argnums=(0, 1))
def _decode(
    inference: Inference, pictures: tuple[str, ...], params: dict[str, Params], z: Any
) -> Any:
    decoded = inference.decode(params, z)
    return {m: as_shown(p.mean(), m in pictures) for m, p in decoded.items()}
