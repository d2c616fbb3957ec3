"""Measures what the latent knows, what it loses, and whether generation collapses.

::

    probe           accuracy on test tuples of a logistic regression of the label on one
                    z ~ q(z|x_m), or q(z|X), fitted to training tuples
    reconstruction  x_m from z ~ q(z|X) ("joint") and z ~ q(z|x_m) ("own"):
                    log p(x_m|z) at λ = 1, nats; mean |x_m − E[x_m|z]| over its values
    diversity       div(j→t) = mean_y D_y(x̃_t) / D_y(x_t),   D_y² = 2 Σ_d s²_y,d

s²_y,d is the unbiased variance of value d over the test tuples of class y, so that D_y
is the root mean square distance of two different ones, exactly, in all pairs. x̃_t is
decoded (its mean) from z ~ q(z|x_j). A model that shows each class by one picture has
diversity 0 whatever its coherence; data have 1. What the decoder leaves to its noise
counts as lost: blurred pictures stay below 1. D is taken in values, not in features of
a classifier, which was taught to see no difference within a class.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.sampler_quality import finite_or_none
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.method import shared_latent
from jnf_jax.options import option
from jnf_jax.runtime import parallel
from jnf_jax.types import Views

SOURCES = ("joint", "own")
"""Reconstructions are of z from q(z|X), and from q(z|x_m) of the modality itself."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """On how many tuples."""

    num_tuples: int = option(
        2_000, "Test tuples, from the first; 0: the protocol's.", at_least=0
    )
    num_probe_tuples: int = option(
        2_000,
        "Training tuples that the probes are fitted to, from the first.",
        at_least=2,
    )


def data_faults(
    settings: Settings, field: str, dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    """Tells whether the training tuples of the probes are all of one class."""
    del protocol
    labels = dataset.splits["train"].labels
    if labels is None:
        return []
    of_probes = np.unique(labels[: settings.num_probe_tuples])
    if len(of_probes) > 1:
        return []
    return [
        f"`{field}.num_probe_tuples` is {settings.num_probe_tuples}, expected as many "
        f"as have two classes: the first training tuples are all of {of_probes}"
    ]


TABLES = (
    Table(
        "Representations: accuracy of a linear probe on z given one modality or "
        "all, absolute error of reconstructions from the joint posterior, and "
        "diversity within class of what is generated from one other modality, as a "
        "share of the data's.",
        (
            Column("probe", "probe", 3, 0.0, 1.0, best="high"),
            Column(
                "absolute error",
                "reconstruction.joint.absolute_error",
                low=0.0,
                best="low",
            ),
            Column("diversity", "diversity", 3, low=0.0),
        ),
    ),
)


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Returns all three, ready for JSON; without labels the reconstruction alone."""
    names, report = tuple(subject.inference.modalities), subject.report
    held_out, split = subject.held_out, subject.dataset.splits["train"]
    training = held_out._replace(
        arrays=parallel.put(split.arrays, parallel.replicated(held_out.mesh)),
        size=split.size,
        labels=split.labels,
        rows=split.rows,
    )
    fitted_to = subject._replace(held_out=training)
    num = min(settings.num_tuples or subject.num_tuples, subject.num_tuples)
    num_probe = min(settings.num_probe_tuples, training.size)
    has_labels = held_out.labels is not None
    labels = held_out.labels[:num] if has_labels else None
    test_key, training_key = jax.random.split(jax.random.key(subject.protocol.seed))
    reconstruction = {s: {"log_prob": {}, "absolute_error": {}} for s in SOURCES}
    probe, pairs = {}, {}
    if has_labels:
        of_data = {
            m: class_spreads(
                subject.over_tuples(lambda _, views, m=m: views[m], num), labels
            )
            for m in names
        }
    # One source at a time: what is decoded from all of them would fill the memory.
    for i, source in enumerate((*names, "joint")):
        given = names if source == "joint" else (source,)
        drawn = _draw(subject, num, given, jax.random.fold_in(test_key, i))
        for key, of_all in reconstruction["joint" if len(given) > 1 else "own"].items():
            values = getattr(drawn, key)
            of_all |= {
                m: finite_or_none(values[m].mean(dtype=np.float64)) for m in given
            }
        if not has_labels:
            continue
        key = jax.random.fold_in(training_key, i)
        known = _draw(fitted_to, num_probe, given, key)
        probe[source] = probe_accuracy(
            known.latent, training.labels[:num_probe], drawn.latent, labels
        )
        report(f"linear probe of z given {source}: accuracy {probe[source]:.3f}")
        if source != "joint":
            pairs[source] = {
                t: mean_ratio(class_spreads(drawn.decoded[t], labels), of_data[t])
                for t in names
                if t != source
            }
            report(f"diversity within class given {source}: {pairs[source]}")
    found = {"num_tuples": num, "reconstruction": reconstruction}
    if not has_labels:
        report("not measured: probes and diversity within class need labels")
        return found
    return found | {
        "num_probe_tuples": num_probe,
        "probe": probe,
        "diversity": {t: _mean_over_given(pairs, t) for t in names},
        "diversity_by_given": pairs,
    }


class Drawn(NamedTuple):
    """Everything that one z ~ q(z|x_S) a tuple gives.

    Attributes:
        latent: z, the part that modalities share, f32[N, D].
        log_prob: {m: log p(x_m|z)}, nats, f32[N].
        absolute_error: {m: mean over values of |x_m − E[x_m|z]|}, f32[N].
        decoded: {m: E[x_m|z]}, f32[N, ...].
    """

    latent: Float[Array | np.ndarray, "rows latent"]
    log_prob: dict[str, Float[Array | np.ndarray, " rows"]]
    absolute_error: dict[str, Float[Array | np.ndarray, " rows"]]
    decoded: dict[str, Float[Array | np.ndarray, "rows ..."]]


def _draw(
    subject: Subject, num: int, given: tuple[str, ...], rng_key: jax.Array
) -> Drawn:
    """Draws given ``given`` for the first ``num`` tuples; on the host."""
    inference, params = subject.inference, subject.params
    adapt_key, draw_key = jax.random.split(rng_key)
    step_size = inference.adapt(params, adapt_key, subject.first_views(num), given)

    def look(number: int, views: Views) -> Drawn:
        key = jax.random.fold_in(draw_key, number)
        z, _ = inference.infer(params, key, views, given, step_size)
        return _look(inference, params, views, z)

    return subject.over_tuples(look, num)


@functools.partial(jax.jit, static_argnums=0)
def _look(inference, params, views: Views, z: Any) -> Drawn:
    decoded = inference.decode(params, z)
    means = {m: p.mean() for m, p in decoded.items()}
    return Drawn(
        shared_latent(z),
        {m: p.log_prob(views[m]) for m, p in decoded.items()},
        {
            m: jnp.abs(views[m] - mean).reshape(len(mean), -1).mean(axis=1)
            for m, mean in means.items()
        },
        means,
    )


def probe_accuracy(
    latent: Float[np.ndarray, "known latent"],
    labels: Integer[np.ndarray, " known"],
    test_latent: Float[np.ndarray, "test latent"],
    test_labels: Integer[np.ndarray, " test"],
) -> float:
    """Share of test rows that a logistic regression on the known ones labels right.

    Dimensions are standardised on the known rows; scikit-learn's L2 penalty, C = 1.

    Raises:
        ValueError: The known rows are all of one class.
    """
    # Slow to import, and only needed here.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000))
    probe.fit(latent, labels)
    return float(np.mean(probe.predict(test_latent) == test_labels))


def class_spreads(
    values: Float[np.ndarray, "rows ..."], labels: Integer[np.ndarray, " labels"]
) -> dict[int, float]:
    """{y: D_y} of the classes that two or more rows have.

    D_y² = 2 Σ_d s²_y,d = mean over pairs i ≠ i' of class y of ‖values_i − values_i'‖².

    >>> class_spreads(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([1, 1]))
    {1: 5.0}
    """
    found = {}
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count > 1:
            rows = values[labels == label].reshape(count, -1).astype(np.float64)
            found[int(label)] = float(np.sqrt(2 * rows.var(axis=0, ddof=1).sum()))
    return found


def mean_ratio(spreads: dict[int, float], of_data: dict[int, float]) -> float | None:
    """mean_y D_y / D_y(data), over the classes whose data differ; None without one."""
    ratios = [spreads[y] / spread for y, spread in of_data.items() if spread > 0]
    return float(np.mean(ratios)) if ratios else None


def _mean_over_given(pairs: dict[str, dict], target: str) -> float | None:
    ratios = [of[target] for of in pairs.values() if target in of]
    return None if None in ratios else float(np.mean(ratios))
