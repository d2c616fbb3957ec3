"""Coherence: do generated views show what they should? Pure functions of labels.

A classifier c_m per modality, in evaluation mode, has turned decoder means into labels
before anything here is called (arXiv 1911.03393, 2105.02470; protocol v1)::

    coh(S→t)   macro-average over classes of P[c_t(x̃_t) = y],  z ~ q_S(z|X_S), t ∉ S
    coh_k      mean over t ∉ S, then over all S with |S| = k
    coh_joint  P[c_1(x̃_1) = … = c_M(x̃_M)],  z ~ prior
    coh_ceil   the same agreement with z ~ q_φ(z|X), X a test tuple
    H_label    −Σ_y p_y log p_y over the agreed draws of coh_joint   (nats)

Everything is counted in NumPy: integers in, Python floats out, ready for JSON.
"""

import itertools
import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer


class ClassAccuracy(NamedTuple):
    """How often predictions equal labels; all in [0, 1].

    Attributes:
        macro: Mean of the accuracies of the classes that occur in the labels.
        micro: Share of right predictions over all rows, whatever their class.
        per_class: Accuracy of each class; NaN for a class that does not occur.
    """

    macro: float
    micro: float
    per_class: Float[np.ndarray, " classes"]


class Agreement(NamedTuple):
    """The share of draws on which all classifiers agree, and their common labels."""

    share: float
    labels: Integer[np.ndarray, " agreed"]


class CoherenceTable(NamedTuple):
    """Conditional coherence by subset size "1", "2", … and how many subsets went in.

    ``macro`` is averaged over classes, as protocol v1 quotes it, ``micro`` over rows.
    """

    macro: dict[str, float]
    micro: dict[str, float]
    num_subsets: dict[str, int]


def _labels(
    name: str, values: Integer[Array | np.ndarray, " rows"], num_classes: int
) -> np.ndarray:
    """``values`` on the host, once they are known to be labels in [0, num_classes)."""
    values = np.asarray(values)
    if values.size == 0:
        raise ValueError(f"`{name}` is empty: there is nothing to average over")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"`{name}` holds labels {low} to {high}, expected 0 to {num_classes - 1} "
            f"(num_classes={num_classes})"
        )
    return values


def class_accuracy(
    predicted: Integer[Array | np.ndarray, " rows"],
    labels: Integer[Array | np.ndarray, " labels"],
    *,
    num_classes: int,
) -> ClassAccuracy:
    """Accuracy of generated views' labels i32[N] against their tuples' true ones.

    acc_y = #{i : predicted_i = y, labels_i = y} / #{i : labels_i = y};
    macro = mean of acc_y over the y that occur; micro = #{predicted_i = labels_i} / N.

    Raises:
        ValueError: Rows differ in number, there are none, or a label is no class.

    >>> class_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 2]), num_classes=3)
    ClassAccuracy(macro=0.5, micro=0.75, per_class=array([ 1., nan,  0.]))
    """
    if len(predicted) != len(labels):
        raise ValueError(
            f"`predicted` has {len(predicted)} rows, expected {len(labels)} as in "
            "`labels`"
        )
    labels = _labels("labels", labels, num_classes)
    predicted = _labels("predicted", predicted, num_classes)
    right = predicted == labels
    present = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels[right], minlength=num_classes)
    per_class = np.full(num_classes, np.nan)
    np.divide(hits, present, out=per_class, where=present > 0)
    macro = float(per_class[present > 0].mean())
    return ClassAccuracy(macro, float(right.mean()), per_class)


def agreement(
    predicted: Mapping[str, Integer[Array | np.ndarray, " rows"]],
) -> Agreement:
    """P[c_1(x̃_1) = … = c_M(x̃_M)] over draws, of which each modality has i32[N] labels.

    This is joint coherence on prior draws, and the ceiling on draws from the joint
    posterior of test tuples. It has no true label, so a model that always draws one
    digit scores 1: report `label_entropy` of the labels with it.

    Raises:
        ValueError: Fewer than two modalities, unequal rows, or no rows.

    >>> agreement({"m0": np.array([3, 1, 4]), "m1": np.array([3, 1, 5])}).labels
    array([3, 1])
    """
    if len(predicted) < 2:
        raise ValueError(
            f"`predicted` has modalities {sorted(predicted)}, expected at least two: "
            "one alone always agrees with itself"
        )
    rows = {name: len(labels) for name, labels in sorted(predicted.items())}
    if len(set(rows.values())) > 1 or 0 in rows.values():
        raise ValueError(
            f"`predicted` has rows {rows}, expected one number > 0 for all modalities"
        )
    table = np.stack([np.asarray(predicted[name]) for name in rows])
    agreed = (table == table[0]).all(axis=0)
    return Agreement(share=float(agreed.mean()), labels=table[0, agreed])


def label_entropy(
    agreed: Integer[Array | np.ndarray, " agreed"], num_classes: int
) -> float | None:
    """Entropy −Σ_y p_y log p_y of the labels that `agreement` returns, in nats.

    It lies between 0 (one class only) and log C (2.303 for ten classes drawn equally
    often), and is None where no draw agrees.

    Raises:
        ValueError: A label is outside [0, num_classes).

    >>> round(label_entropy(np.arange(10), 10), 3)
    2.303
    """
    if len(agreed) == 0:
        return None
    counts = np.bincount(_labels("agreed", agreed, num_classes))
    shares = counts[counts > 0] / counts.sum()
    return float(np.sum(shares * np.log(1.0 / shares)))


def subsets(
    modalities: Collection[str], *, size: int | None = None
) -> list[tuple[str, ...]]:
    """All S with 1 ≤ |S| ≤ M−1, or those of one size, by size and then by name.

    Raises:
        ValueError: A name occurs twice, there are fewer than two, or ``size`` is
            outside [1, M−1].

    >>> subsets(["b", "a", "c"])
    [('a',), ('b',), ('c',), ('a', 'b'), ('a', 'c'), ('b', 'c')]
    """
    names = sorted(modalities)
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(
            f"`modalities` is {names}, expected at least two names, all different"
        )
    if size is not None and not 1 <= size < len(names):
        raise ValueError(f"`size` is {size}, expected 1 to {len(names) - 1}")
    sizes = range(1, len(names)) if size is None else (size,)
    return [s for k in sizes for s in itertools.combinations(names, k)]


def some_subsets(
    modalities: Collection[str], *, most: int, seed: int
) -> list[tuple[str, ...]]:
    """``subsets`` where these are no more than ``most``, else some of each size.

    Sizes that have fewer than their share keep all, and leave the rest to the others;
    of these a random choice is drawn, the same for the same names and seed. One of each
    size is there whatever ``most`` is.

    >>> chosen = some_subsets("abcdef", most=30, seed=0)
    >>> [sum(len(s) == k for s in chosen) for k in (1, 2, 3, 4, 5)]
    [6, 6, 6, 6, 6]
    """
    names, rng, left = sorted(modalities), np.random.default_rng(seed), most
    found: set[tuple[str, ...]] = set()
    # From the sizes with the fewest on, each its share of what the ones before left.
    # Sizes amid many names have too many subsets to be listed.
    sizes = sorted(range(1, len(names)), key=lambda k: (math.comb(len(names), k), k))
    for place, size in enumerate(sizes):
        num_all = math.comb(len(names), size)
        num = min(max(left // (len(sizes) - place), 1), num_all)
        of_size = set(subsets(names, size=size)) if num == num_all else set()
        while len(of_size) < num:
            rows = rng.choice(len(names), size, replace=False)
            of_size.add(tuple(names[row] for row in sorted(rows)))
        found |= of_size
        left -= num
    return sorted(found, key=lambda subset: (len(subset), subset))


def targets_of(subset: Collection[str], modalities: Collection[str]) -> tuple[str, ...]:
    """Targets that S generates: all t ∉ S, or where S is all of them, all again.

    >>> targets_of("b", "abc"), targets_of("ab", "ab")
    (('a', 'c'), ('a', 'b'))
    """
    return tuple(m for m in modalities if m not in subset) or tuple(modalities)


def average_by_size(
    values: Mapping[tuple[str, ...], Mapping[str, float]],
    chosen: Collection[tuple[str, ...]] | None = None,
    unlabelled: Collection[str] = (),
) -> dict[str, float]:
    """{k: coh_k} from {S: {t: value(S→t)}}: mean over t ∉ S, then over all |S| = k.

    A size may be left out, but where one subset of a size is present all must be, or
    all that were ``chosen``, each with every target outside it that is not
    ``unlabelled``: no average is over fewer pairs than its name says.

    Raises:
        ValueError: Empty; a subset given twice or missing; a target missing or part of
            its own subset (self-pairs are no cross-modal generation).

    >>> average_by_size({("a",): {"b": 0.5}, ("b",): {"a": 1.0}})
    {'1': 0.75}
    """
    if not values:
        raise ValueError("`values` is empty: there is no subset to average over")
    given = {tuple(sorted(s)): targets for s, targets in values.items()}
    if len(given) != len(values):
        raise ValueError(f"`values` names a subset twice: {sorted(values)}")
    everything = {m for s, targets in given.items() for m in (*s, *targets)}
    table = {}
    for size in sorted({len(s) for s in given}):
        means = []
        for subset in subsets(everything, size=size):
            if chosen is not None and subset not in chosen:
                continue
            expected = sorted(everything - {*subset, *unlabelled})
            got = sorted(given.get(subset, ()))
            if got != expected:
                raise ValueError(
                    f"`values[{subset}]` has targets {got}, expected {expected}"
                )
            means.append(math.fsum(given[subset].values()) / len(expected))
        table[str(size)] = math.fsum(means) / len(means)
    return table


def coherence_table(
    accuracies: Mapping[tuple[str, ...], Mapping[str, ClassAccuracy]],
    chosen: Collection[tuple[str, ...]] | None = None,
    unlabelled: Collection[str] = (),
) -> CoherenceTable:
    """Conditional coherence of every subset size, from {S: {t: accuracy}}.

    Empty where there are no accuracies; the other arguments and errors are those of
    `average_by_size`.
    """
    if not accuracies:
        return CoherenceTable({}, {}, {})
    macro, micro = (
        average_by_size(
            {s: {t: of[i] for t, of in by.items()} for s, by in accuracies.items()},
            chosen,
            unlabelled,
        )
        for i in (0, 1)
    )
    num_subsets = {k: sum(len(s) == int(k) for s in accuracies) for k in macro}
    return CoherenceTable(macro, micro, num_subsets)
