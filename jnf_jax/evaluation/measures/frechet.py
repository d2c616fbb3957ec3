"""The measure ``frechet``: how far what is generated lies from real data, in features.

Per target modality, given each subset without it, and from each prior. Generated are
the decoder means of protocol v1's z; pictures are rounded to 8 bit as the real ones
are. Distances are named after their features: ``frechet_classifier`` on the last hidden
layer of the frozen classifiers, of every modality; of pictures, ``fid`` on pool3 of
Inception-v3 with the published weights, and ``frechet_inception`` with any others.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jnf_jax.evaluation.coherence import draw_latents
from jnf_jax.evaluation.measures import features
from jnf_jax.evaluation.measures.features import Extractor, as_shown, pictures_of
from jnf_jax.evaluation.measures.tables import Column, Table
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
from jnf_jax.names import join_names
from jnf_jax.networks import inception
from jnf_jax.options import names, option
from jnf_jax.runtime import parallel, processes
from jnf_jax.runtime.batching import batches
from jnf_jax.types import Params

FEATURES = ("classifier", "inception")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which features the distance is measured in."""

    features: str = option("classifier", "Members of `FEATURES`, separated by commas.")
    inception_file: str = option("", "pytorch-fid's weights; nothing is fetched.")
    inception_sha256: str = option("", "SHA-256 of that file, hex.")

    def names(self) -> tuple[str, ...]:
        """The members of ``FEATURES`` that are asked for."""
        return names(self.features)

    def cross_faults(self, field: str) -> list[str]:
        """Whether the features are known, and their weights those that were named."""
        unknown = sorted(set(self.names()) - set(FEATURES))
        if unknown or not self.names():
            return [
                f"`{field}.features` is {self.features!r}, expected one or more of "
                f"{FEATURES}, separated by commas"
            ]
        if "inception" not in self.names():
            return []
        if not (self.inception_file and self.inception_sha256):
            return [
                f"`{field}.inception_file` and `{field}.inception_sha256` are "
                f"{self.inception_file!r} and {self.inception_sha256!r}, expected both:"
                f" without its weights there is no FID. Get {inception.WEIGHTS_URL} "
                f"(95 MB, SHA-256 {inception.WEIGHTS_SHA256})"
            ]
        try:
            found = features.sha256_of(self.inception_file)
        except OSError as error:
            return [f"`{field}.inception_file` cannot be read: {error}"]
        if found != self.inception_sha256.lower():
            return [
                f"`{field}.inception_file` {self.inception_file} has SHA-256 {found}, "
                f"expected {self.inception_sha256} as in `inception_sha256`"
            ]
        return []


TABLES = (
    Table(
        "Fréchet distances between generated and real pictures, mean over target "
        "modalities, by the number of modalities given and by the prior; in "
        "features of the classifiers that judge coherence (no FID), and of "
        "Inception-v3 (FID). Of fewer pictures they are larger, so those by "
        "numbers of modalities and those by priors compare only among themselves:",
        (
            Column("pictures, given", "frechet_classifier.num_real", 0, low=1.0),
            Column("by prior", "frechet_classifier.num_unconditional", 0, low=1.0),
        )
        + tuple(
            Column(f"{features}, {kind}", f"{distance}.{kind}", 2, 0.0, best="low")
            for distance, features in (
                ("frechet_classifier", "classifier features"),
                ("fid", "FID"),
            )
            for kind in ("conditional", "unconditional")
        ),
    ),
    Table(
        "The same in classifier features, of each target modality:",
        (
            Column("given", "conditional", 2, low=0.0, best="low"),
            Column("by prior", "unconditional", 2, low=0.0, best="low"),
        ),
        rows="frechet_classifier.targets",
        heading="target",
    ),
)


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Distances of all modalities that the features read, by subset and by prior.

    Returns:
        {name of the distance: {"conditional", "unconditional", …}}, see
        docs/results_schema.md; without those that the data do not allow, of which a
        line is reported.
    """
    num_drawn = subject.protocol.num_prior_samples
    counts = {"num_real": subject.num_tuples, "num_unconditional": num_drawn}
    extractors = _extractors(subject, settings, min(counts.values()))
    if not extractors:
        return {}
    read = {m for extractor in extractors for m in extractor.targets}
    targets = [m for m in subject.inference.modalities if m in read]
    draws = subject.draws or draw_latents(subject)
    real = _gaussians(extractors, _real_pictures(subject, targets))

    def distances(z: Any, outside: tuple[str, ...]) -> dict[str, dict[str, float]]:
        shown = [m for m in targets if m not in outside]
        found = _gaussians(extractors, _decoded_pictures(subject, shown, z))
        return {
            name: {m: frechet_distance(real[name][m], of) for m, of in by_name.items()}
            for name, by_name in found.items()
        }

    given = {subset: distances(z, subset) for subset, z in draws.given.items()}
    drawn = {prior: distances(z, ()) for prior, z in draws.unconditional.items()}
    found = {}
    for extractor in extractors:
        name = extractor.distance
        found[name] = summarise(
            {subset: by_name[name] for subset, by_name in given.items()},
            {prior: by_name[name] for prior, by_name in drawn.items()},
        )
        found[name] |= {"num_features": extractor.size, **counts}
        told = [f"given {k} {d:.3g}" for k, d in found[name]["conditional"].items()]
        told += [f"from {k} {d:.3g}" for k, d in found[name]["unconditional"].items()]
        subject.report(f"{name}: {', '.join(told)}")
    return found


def _extractors(
    subject: Subject, settings: Settings, num_pictures: int
) -> list[Extractor]:
    """Opens the features that the data allow; a line is reported for each other one.

    ``num_pictures`` is the least number that moments will be of.
    """
    found, mesh, judges = [], subject.held_out.mesh, subject.classifiers

    def skip(said: str) -> None:
        subject.report(f"not measured: {said}")

    for name in settings.names():
        if name == "inception":
            targets = pictures_of(subject)
            if skipped := sorted(set(subject.inference.modalities) - set(targets)):
                skip(f"fid of {', '.join(skipped)}: no pictures")
            if not targets:
                continue
            weights = (settings.inception_file, settings.inception_sha256)
            extractor = features.inception_features(*weights, mesh, targets)
        elif judges is None or judges.features is None:
            why = "has no labels" if judges is None else "needs none"
            data = subject.dataset.name
            skip(f"frechet_classifier needs a classifier, and {data!r} {why}")
            continue
        else:
            extractor = features.classifier_features(subject)
        if num_pictures > extractor.size:
            found.append(extractor)
            continue
        skip(
            f"{extractor.distance} needs more than {extractor.size} pictures, one for "
            f"each feature, and there are {num_pictures}"
        )
    return found


def summarise(
    given: Mapping[tuple[str, ...], Mapping[str, float]],
    drawn: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Averages of one distance {target: …}, given subsets and drawn from priors.

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
        "subsets": {join_names(s): dict(d) for s, d in given.items() if d},
    }


# --- pictures ------------------------------------------------------------------------

Pictures = Iterator[tuple[dict[str, jax.Array], int]]
"""Batches {m: f32[B, ...] as shown}, and how many rows of each count."""


def _gaussians(
    extractors: list[Extractor], pictures: Pictures
) -> dict[str, dict[str, Gaussian]]:
    """{distance: {modality: moments of all its pictures}}."""
    moments: dict[str, dict[str, Moments]] = {e.distance: {} for e in extractors}
    for views, count in pictures:
        for extractor in extractors:
            known = moments[extractor.distance]
            for m in [m for m in views if m in extractor.targets]:
                batch = processes.to_host(extractor.extract(m, views[m]))[:count]
                known[m] = add_batch(known.get(m), batch)
    return {
        name: {m: gaussian(of) for m, of in known.items()}
        for name, known in moments.items()
    }


def _real_pictures(subject: Subject, targets: list[str]) -> Pictures:
    pictures = pictures_of(subject)
    size = subject.num_tuples
    for rows, count in batches(size, min(subject.protocol.batch_size, size)):
        views = subject.held_out.views(rows)
        yield {m: as_shown(views[m], m in pictures) for m in targets}, count


def _decoded_pictures(subject: Subject, shown: list[str], z: Any) -> Pictures:
    """Decodes z, whose leaves are [N, ...] on the host, batch by batch."""
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
