"""Of what is left open, is everything generated, and as often as it is true?

Coherence counts agreement, which a collapsed model passes: one that shows a 3 whenever
nothing tells the digit agrees with itself. Where what is given leaves a label open,
this measure compares the labels of many draws with their true distribution::

    TV(x_S, t) = ½ Σ_a | p̂(a_t = a | x_S) − p(a_t = a | x_S) |

S are views of one value out of few (one-hot f32[1, C], of a categorical likelihood), or
nothing: then z is drawn from a prior. p is counted on all test tuples with that value
of x_S. a_t is the value itself where t is such a view, read as the most probable one,
else the class that t's classifier reads; both see decoder means, as protocol v1 does.
A label that x_S leaves no choice is left out: that is coherence.

As many true draws are not at 0 either: their expected TV is the floor.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.coherence import draw_and_judge
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.subject import Subject
from jnf_jax.names import join_names
from jnf_jax.options import option
from jnf_jax.runtime import parallel
from jnf_jax.types import Views

NUM_FLOORS = 200
"""Samples of true draws whose mean TV is the floor."""

NUM_LOOKED_AT = 1_000
"""Test tuples that tell whether a view is one value out of few."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How many draws, of how many conditions."""

    num_draws: int = option(5_000, "Draws of each condition.", at_least=100)
    num_conditions: int = option(
        40, "Values of each subset that are given, the most frequent ones.", at_least=1
    )


def data_faults(
    settings: Settings, field: str, dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    """Tells whether no view has a value whose frequency can be counted."""
    del settings, protocol
    if discrete_views(dataset):
        return []
    return [
        f"`{field}` is measured, and no view of {dataset.name!r} is one value out of "
        "few: expected one of shape (1, classes), one-hot"
    ]


TABLES = (
    Table(
        "Labels of draws where what is given leaves them open: total variation from "
        "their true distribution, 0 at best, by view; that of as many true draws; and "
        "the largest over what was given. A model that shows one of ten labels "
        "alone has 0.9, whatever its coherence.",
        (
            Column("TV", "tv", 3, low=0.0, high=1.0),
            Column("true draws", "floor", 3, low=0.0, high=1.0),
            Column("largest TV", "largest", 3, low=0.0, high=1.0),
        ),
        rows="given",
        heading="given",
    ),
)


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """{"num_tuples" that were counted, "given": {S: means and maxima over x_S},
    "conditions": {S: {x_S: …}}}; see docs/results_schema.md."""
    inference, held_out = subject.inference, subject.held_out
    names = tuple(inference.modalities)
    discrete = discrete_views(subject.dataset)
    # What each test tuple's views show: their own value, or the class.
    known = _values(subject, discrete)
    if subject.classifiers is not None:
        labels = np.asarray(held_out.labels)
        known |= {m: labels for m in names if m not in {*known, *held_out.unlabelled}}
    classes = {
        m: subject.dataset.shapes[m][-1] if m in discrete else held_out.num_classes
        for m in known
    }
    root = jax.random.key(subject.protocol.seed)
    asked = [] if subject.protocol.subsets == "none" else subject.subsets
    given = [s for s in asked if set(s) <= set(discrete)]
    found = {"num_tuples": held_out.size, "given": {}, "conditions": {}}
    for number, source in enumerate([*inference.prior_names, *given]):
        is_prior = isinstance(source, str)
        name = f"nothing, z from {source}" if is_prior else join_names(source)
        subset = () if is_prior else source
        conditions = {}
        for value, rows in _conditions(known, subset, settings.num_conditions):
            truth = {
                t: np.bincount(known[t][rows], minlength=classes[t]) / rows.sum()
                for t in coherence.targets_of(subset, names)
                if t in known
            }
            truth = {t: p for t, p in truth.items() if p.max() < 1}
            if not truth:
                continue
            key = jax.random.fold_in(jax.random.fold_in(root, number), len(conditions))
            what = source if is_prior else dict(zip(subset, value, strict=True))
            drawn = _draw(subject, what, classes, discrete, truth, settings, key)
            conditions[join_names(map(str, value))] = {
                t: compare(drawn[t], p, seed=subject.protocol.seed)
                for t, p in truth.items()
            }
        if conditions:
            found["conditions"][name] = conditions
            found["given"][name] = _over_conditions(conditions)
            subject.report(f"labels given {name}: TV {found['given'][name]['tv']}")
    return found


def discrete_views(dataset: Dataset) -> tuple[str, ...]:
    """Views of shape (1, C) whose values are one-hot, as far as test tuples show."""
    names = [m for m, shape in dataset.shapes.items() if len(shape) == 2]
    names = [m for m in names if dataset.shapes[m][0] == 1 < dataset.shapes[m][1]]
    if not names:
        return ()
    split = dataset.splits["test"]
    rows = np.arange(min(split.size, NUM_LOOKED_AT), dtype=np.int32)
    views = dataset.fetch(split.arrays, split.rows(rows))
    return tuple(
        m
        for m in sorted(names)
        if np.isin(views[m], (0, 1)).all() and (np.sum(views[m], axis=-1) == 1).all()
    )


def compare(
    labels: Integer[np.ndarray, " draws"],
    truth: Float[np.ndarray, " classes"],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Total variation of drawn labels from ``truth``, and of as many true draws.

    Returns:
        {"tv", "floor", "shares": {class: its share of the draws}}.

    >>> found = compare(np.zeros(5_000, int), np.full(10, 0.1))
    >>> round(found["tv"], 3), 0.01 < found["floor"] < 0.02
    (0.9, True)
    """
    counts = np.bincount(labels, minlength=len(truth))
    num = len(labels)
    true = np.random.default_rng(seed).multinomial(num, truth, NUM_FLOORS)
    tv, *floors = 0.5 * np.abs(np.vstack([counts, true]) / num - truth).sum(axis=1)
    return {
        "tv": float(tv),
        "floor": float(np.mean(floors)),
        "shares": {str(k): float(n / num) for k, n in enumerate(counts)},
    }


def _values(subject: Subject, discrete: tuple[str, ...]) -> dict[str, np.ndarray]:
    """{m: i[N]} of all test tuples; those of an evaluation may be too few to count."""
    look = jax.jit(lambda views: {m: views[m][:, 0].argmax(-1) for m in discrete})
    return subject.over_tuples(lambda _, views: look(views), subject.held_out.size)


def _conditions(
    known: Mapping[str, np.ndarray], subset: tuple[str, ...], most: int
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Values of x_S, common ones first, and the tuples bool[N] that have them."""
    num = len(next(iter(known.values())))
    own = np.stack([known[m] for m in subset] or [np.zeros(num, int)], axis=1)
    values, number, counts = np.unique(
        own, axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")[:most]
    return [
        (tuple(values[k].tolist()) if subset else (), number.ravel() == k)
        for k in order
    ]


def _draw(
    subject: Subject,
    what: str | Mapping[str, int],
    classes: Mapping[str, int],
    discrete: tuple[str, ...],
    targets: Mapping[str, Any],
    settings: Settings,
    rng_key: jax.Array,
) -> dict[str, np.ndarray]:
    """{t: labels i[num_draws]} generated from a prior of that name, or given values."""
    inference, params = subject.inference, subject.params
    adapt_key, draw_key = jax.random.split(rng_key)
    if not isinstance(what, str):
        subset = tuple(what)
        step_size = inference.adapt(params, adapt_key, subject.first_views(), subset)

    def draw(number: int, rows: np.ndarray) -> tuple[dict[str, Any], Any]:
        key = jax.random.fold_in(draw_key, number)
        if isinstance(what, str):
            z = inference.sample_prior(params, key, len(rows), what)
        else:
            z, _ = inference.infer(
                params, key, _repeated(what, classes, rows, subject), subset, step_size
            )
        shown = [t for t in targets if t in discrete]
        return {"drawn": z}, {t: _most_probable(inference, params, z, t) for t in shown}

    judged = [t for t in targets if t not in discrete]
    predicted, values = draw_and_judge(subject, draw, judged, settings.num_draws)
    return predicted["drawn"] | values


def _repeated(
    value: Mapping[str, int],
    classes: Mapping[str, int],
    rows: np.ndarray,
    subject: Subject,
) -> Views:
    """The same one-hot views for every row."""
    views = {
        m: np.tile(np.eye(classes[m], dtype=np.float32)[k], (len(rows), 1, 1))
        for m, k in value.items()
    }
    return parallel.put_batch(views, subject.held_out.mesh)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _most_probable(inference, params, z: Any, m: str) -> jax.Array:
    return jnp.argmax(inference.decode(params, z)[m].mean()[:, 0], axis=-1)


def _over_conditions(conditions: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Mean TV, mean floor and largest TV over all values that leave a target open."""
    targets = sorted({t for of in conditions.values() for t in of})
    of = {t: [by[t] for by in conditions.values() if t in by] for t in targets}
    return {
        "tv": {t: float(np.mean([x["tv"] for x in of[t]])) for t in targets},
        "floor": {t: float(np.mean([x["floor"] for x in of[t]])) for t in targets},
        "largest": {t: max(x["tv"] for x in of[t]) for t in targets},
    }
