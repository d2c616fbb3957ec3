"""Bootstrap intervals of coherence: how far other test tuples could have moved it.

Tuples are drawn anew with replacement, all numbers that are made of one tuple together.
Classifiers, parameters and the draws of z stay as they are: what other training seeds
would change is another spread.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from jnf_jax.names import join_names

NUM_RESAMPLES = 1_000
LEVEL = 0.95
_AT_ONCE = 50
"""Resamples in one product of matrices; 10,000 tuples of them are 4 MB."""


class Interval(NamedTuple):
    """The central 95 % of resamples (percentile interval)."""

    low: float
    high: float


def macro_interval(
    scores: Float[np.ndarray, " rows"],
    labels: Integer[np.ndarray, " labels"],
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Interval of a macro-average, the mean over classes of the mean score of a class.

    ::

        θ_r = mean_y Σ_i c_ri s_i 1[y_i = y] / Σ_i c_ri 1[y_i = y],
        c_r ~ Multinomial(N; 1/N, …)        (a class that no draw has is left out)

    of scores s, f64[N], with labels y, i32[N] from 0, over R resamples. The same seed
    draws the same tuples for all scores. An average over subsets and targets of
    macro-averages is the macro-average of each tuple's average: s_i is then the share
    of its generated views that are right.

    Raises:
        ValueError: No rows, or as many scores as there are not labels.
    """
    if len(scores) != len(labels) or not len(labels):
        raise ValueError(
            f"`scores` has {len(scores)} rows, expected as many as `labels`, "
            f"{len(labels)}, and at least one"
        )
    rng = np.random.default_rng(seed)
    num = len(labels)
    is_class = np.eye(int(labels.max()) + 1)[labels]
    both = np.concatenate([is_class, is_class * np.asarray(scores)[:, None]], axis=1)
    averages = []
    for start in range(0, num_resamples, _AT_ONCE):
        size = min(_AT_ONCE, num_resamples - start)
        drawn = rng.integers(0, num, (size, num)) + num * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num).reshape(size, num)
        present, hits = np.split(counts @ both, 2, axis=1)
        per_class = np.where(present > 0, hits / np.maximum(present, 1), np.nan)
        averages.append(np.nanmean(per_class, axis=1))
    return _central(np.concatenate(averages))


def share_interval(
    share: float, num: int, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> Interval:
    """Interval of a share of ``num`` rows: resampled, its count is binomial.

    >>> share_interval(1.0, 10, seed=0)
    Interval(low=1.0, high=1.0)
    """
    counts = np.random.default_rng(seed).binomial(num, share, num_resamples)
    return _central(counts / num)


def scores_by_size(
    right: Mapping[tuple[str, ...], Mapping[str, Bool[np.ndarray, " rows"]]],
) -> dict[str, Float[np.ndarray, " rows"]]:
    """{|S|: for each tuple the mean over t ∉ S, then over S, of whether t is right}."""
    means: dict[str, list[np.ndarray]] = {}
    for subset, targets in sorted(right.items(), key=lambda item: len(item[0])):
        mean = np.mean(list(targets.values()), axis=0)
        means.setdefault(str(len(subset)), []).append(mean)
    return {size: np.mean(of_size, axis=0) for size, of_size in means.items()}


def right_of(
    predicted: Mapping[tuple[str, ...], Mapping[str, Integer[np.ndarray, " rows"]]],
    labels: Integer[np.ndarray, " rows"],
) -> dict[tuple[str, ...], dict[str, Bool[np.ndarray, " rows"]]]:
    """{S: {t: whether the label read of what a tuple generated is its own}}."""
    return {
        subset: {t: own == labels for t, own in of.items()}
        for subset, of in predicted.items()
    }


def intervals(
    right: Mapping[tuple[str, ...], Mapping[str, Bool[np.ndarray, " rows"]]],
    labels: Integer[np.ndarray, " rows"],
    joint: Mapping[str, float],
    ceiling: float,
    settings: Any,
) -> dict[str, Any]:
    """Intervals of everything that protocol v1 quotes, ready for JSON.

    Args:
        right: S → t ∉ S → whether what each tuple generated is read right, bool[N].
        labels: i32[N].
        joint: prior → share of its ``settings.num_prior_samples`` draws that agree.
        ceiling: share of the N tuples whose reconstructions agree.
        settings: the protocol's; its ``seed`` is that of every resample.

    Returns:
        {"conditional": {size: …}, "subsets": {names of S: {t: …}}, "joint": {prior:
        …}, "ceiling": …}, each {"low", "high"}.
    """
    seed, num_draws = settings.seed, settings.num_prior_samples
    found = {
        "conditional": {
            size: macro_interval(scores, labels, seed=seed)._asdict()
            for size, scores in scores_by_size(right).items()
        },
        "subsets": {
            join_names(subset): {
                t: macro_interval(of.astype(float), labels, seed=seed)._asdict()
                for t, of in targets.items()
            }
            for subset, targets in right.items()
        },
        "joint": {
            name: share_interval(share, num_draws, seed=seed)._asdict()
            for name, share in joint.items()
        },
    }
    of_ceiling = share_interval(ceiling, len(labels), seed=seed)
    return found | {"ceiling": of_ceiling._asdict()}


def _central(values: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
