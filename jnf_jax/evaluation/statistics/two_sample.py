"""Can a classifier tell two samples apart? Where it can, their laws differ."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

NUM_FOLDS = 4
"""Every row is held out once: each classifier learns from three quarters of them."""


class TwoSample(NamedTuple):
    """Held-out accuracy, 0.5 where nothing was found; its binomial standard error.

    ``detectable`` is ½ + 4 standard errors of guessing on as many rows: an accuracy
    below it says nothing, whichever way.
    """

    accuracy: float
    standard_error: float
    detectable: float


def two_sample_test(
    first: Float[np.ndarray, "rows features"],
    second: Float[np.ndarray, "_ _"],
    *,
    seed: int = 0,
) -> TwoSample:
    """Classifier two-sample test (arXiv 1610.06545), cross-validated.

    Row i of both samples, f[N, F] each, may share what it is conditioned on (a datum
    x_i): the two are always held out together, so that a classifier cannot know x_i
    from training. The classifier is scikit-learn's boosting of trees on histograms,
    blind to the scale of a feature. It finds what it can: 0.5 does not prove that the
    laws agree. Pairs that share x_i make the accuracy over the 2 N held-out rows vary
    less than the binomial standard error says. ``seed`` is that of the folds and of the
    classifier.

    Raises:
        ValueError: The shapes differ, there are fewer than 40 rows, or a feature is not
            finite.

    >>> rng = np.random.default_rng(0)
    >>> narrow, wide = rng.normal(size=(200, 1)), 9 * rng.normal(size=(200, 1))
    >>> two_sample_test(narrow, wide).accuracy > 0.8
    True
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) < 10 * NUM_FOLDS:
        raise ValueError(
            f"`first` and `second` are {first.shape} and {second.shape}, expected "
            f"one [N, F] for both, N >= {10 * NUM_FOLDS}"
        )
    # Half a second of importing that only those pay who test.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    features = np.concatenate([first, second])
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(axis=1).sum())
        raise ValueError(
            f"`first` and `second` have {bad} of {len(features)} rows that are not "
            "finite, expected none"
        )
    labels = np.repeat([0, 1], len(first))
    fold = np.random.default_rng(seed).permutation(len(first)) % NUM_FOLDS
    fold, is_right = np.tile(fold, 2), np.zeros(len(labels), bool)
    # One thread: on a busy machine threads that wait for each other cost more.
    with threadpool_limits(1):
        for held_out in (fold == number for number in range(NUM_FOLDS)):
            classifier = HistGradientBoostingClassifier(
                max_leaf_nodes=8, early_stopping=True, random_state=seed
            ).fit(features[~held_out], labels[~held_out])
            found = classifier.predict(features[held_out])
            is_right[held_out] = found == labels[held_out]
    accuracy, num = float(is_right.mean()), len(labels)
    error = float(np.sqrt(accuracy * (1 - accuracy) / num))
    return TwoSample(accuracy, error, 0.5 + 4 * 0.5 / num**0.5)
