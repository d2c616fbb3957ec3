"""Differences of coherence on the same test tuples: between sizes, and between runs.

The spread of a tuple's difficulty is common to both sides and falls out, so a
difference is known far better than either side's interval suggests. A run keeps what
each tuple scored in `scores.npz`, which another run of the same tuples is compared
with.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from jnf_jax.runtime.files import npz, read_arrays, write_whole

FILE = "scores.npz"
"""Of a workdir."""


class Scores(NamedTuple):
    """What each test tuple scored.

    Attributes:
        of_size: |S| → for each tuple the share of its generated views that are right,
            f64[N]; ``bootstrap.scores_by_size``.
        labels: i32[N], the tuples' classes.
        key: The same for all runs that scored these tuples, given these subsets, by
            these classifiers.
    """

    of_size: Mapping[str, Float[np.ndarray, " rows"]]
    labels: Integer[np.ndarray, " rows"]
    key: str = ""


class PairedDifference(NamedTuple):
    """Of two macro-averages over the same rows; the standard error is None where a
    class has one row."""

    difference: float
    standard_error: float | None


def paired_difference(
    scores: Float[np.ndarray, " rows"],
    others: Float[np.ndarray, " others"],
    labels: Integer[np.ndarray, " labels"],
) -> PairedDifference:
    """Difference of the macro-averages of two scores of each row, f64[N] and f64[N].

    ::

        d_i = s_i − s'_i,      Δ = mean_y mean_{i : y_i = y} d_i
        s.e.² = Σ_y s²_y / n_y / C²

    over the C classes that occur, with n_y rows each and the sample variance s²_y of
    their d_i: tuples are drawn anew within their class, draws of z with them, while
    classifiers and parameters stay.

    Raises:
        ValueError: Rows differ in number, or there are none.

    >>> ones, halves = np.ones(4), np.array([1.0, 0, 1, 0])
    >>> paired_difference(ones, halves, np.array([0, 0, 1, 1])).difference
    0.5
    """
    sizes = [len(scores), len(others), len(labels)]
    if len(set(sizes)) > 1 or not sizes[0]:
        raise ValueError(
            f"`scores`, `others` and `labels` have {sizes} rows, expected one number "
            "> 0 for all"
        )
    apart = np.asarray(scores, np.float64) - np.asarray(others, np.float64)
    of_class = [apart[labels == y] for y in np.unique(labels)]
    difference = float(np.mean([d.mean() for d in of_class]))
    if min(map(len, of_class)) < 2:
        return PairedDifference(difference, None)
    variances = [d.var(ddof=1) / len(d) for d in of_class]
    return PairedDifference(difference, math.sqrt(sum(variances)) / len(of_class))


def gains(scores: Scores) -> dict[str, dict[str, float | None]]:
    """{k: coherence given k views less that given k − 1}, ready for JSON."""
    of_size = scores.of_size
    return {
        size: paired_difference(own, of_size[before], scores.labels)._asdict()
        for size, own in of_size.items()
        if (before := str(int(size) - 1)) in of_size
    }


def differences(own: Scores, other: Scores) -> dict[str, dict[str, float | None]]:
    """{k: ``own``'s coherence less ``other``'s given k views}, ready for JSON."""
    return {
        size: paired_difference(scores, other.of_size[size], own.labels)._asdict()
        for size, scores in own.of_size.items()
        if size in other.of_size
    }


def keep(workdir: Path, scores: Scores) -> None:
    """Writes ``scores`` to the file of ``workdir``."""
    arrays: dict[str, Any] = {f"given/{k}": own for k, own in scores.of_size.items()}
    about = {"labels": scores.labels, "key": np.array(scores.key)}
    write_whole(workdir / FILE, npz(arrays | about))


def find(workdir: Path) -> Scores | None:
    """The scores that a run kept in ``workdir``, if it was evaluated with labels."""
    path = workdir / FILE
    if not path.is_file():
        return None
    arrays = read_arrays(path)
    labels, key = arrays.pop("labels"), str(arrays.pop("key"))
    return Scores({k.removeprefix("given/"): a for k, a in arrays.items()}, labels, key)


def read(workdir: Path, key: str) -> Scores:
    """The scores of another run that has the same ``key``.

    Raises:
        ValueError: None were kept there, or they are of something else.
    """
    found = find(workdir)
    if found is None:
        raise ValueError(
            f"`--against={workdir}` has no {FILE}, expected the workdir of a run that "
            "was evaluated on labelled data: `python -m jnf_jax.evaluate` writes it"
        )
    if found.key != key:
        raise ValueError(
            f"`--against={workdir}` scored {len(found.labels):,} tuples that are not "
            "this run's, expected the same data, `evaluation.num_tuples`, "
            "`evaluation.subsets` and `evaluation.classifier`"
        )
    return found
