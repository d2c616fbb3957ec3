"""Bootstrap intervals against brute force, and against what they are to cover."""

import numpy as np
import pytest

from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.statistics import bootstrap
from jnf_jax.evaluation.statistics.bootstrap import (
    macro_interval,
    scores_by_size,
    share_interval,
)
from jnf_jax.evaluation.statistics.coherence import (
    ClassAccuracy,
    class_accuracy,
    coherence_table,
)

LABELS = np.random.default_rng(0).choice(3, 200, p=[0.6, 0.3, 0.1])
PAIRS = {("a",): "bc", ("b",): "ac", ("c",): "ab", ("a", "b"): "c"}
PAIRS |= {("a", "c"): "b", ("b", "c"): "a"}


def predictions(seed):
    """Right in two thirds of all, for each subset and target."""
    rng = np.random.default_rng(seed)
    return {
        s: {t: (LABELS + (rng.random(200) < 1 / 3)) % 3 for t in targets}
        for s, targets in PAIRS.items()
    }


def test_each_resample_is_the_table_of_its_tuples():
    """The same tuples, drawn one by one and averaged as protocol v1 averages."""
    drawn = predictions(1)
    right = {s: {t: p == LABELS for t, p in d.items()} for s, d in drawn.items()}
    rng = np.random.default_rng(7)
    by_hand = {"1": [], "2": []}
    for rows in rng.integers(0, 200, (60, 200)):
        accuracies: dict[tuple[str, ...], dict[str, ClassAccuracy]] = {
            s: {
                t: class_accuracy(p[rows], LABELS[rows], num_classes=3)
                for t, p in d.items()
            }
            for s, d in drawn.items()
        }
        for size, macro in coherence_table(accuracies).macro.items():
            by_hand[size].append(macro)
    scores = scores_by_size(right)
    assert set(scores) == {"1", "2"}
    for size in scores:
        # 60 resamples are drawn 50 and 10 at a time: the generator does not notice.
        found = macro_interval(scores[size], LABELS, seed=7, num_resamples=60)
        assert found == pytest.approx(np.quantile(by_hand[size], [0.025, 0.975]))


def test_each_direction_has_its_own_interval():
    """That of its own scores, on the tuples that the sizes are drawn on too."""
    settings = ProtocolSettings(num_tuples=150, num_prior_samples=100, seed=3)
    shown = {s: {t: p[:150] for t, p in of.items()} for s, of in predictions(2).items()}
    right = bootstrap.right_of(shown, LABELS[:150])
    found = bootstrap.intervals(right, LABELS[:150], {"normal": 0.5}, 0.9, settings)
    assert set(found) == {"conditional", "subsets", "joint", "ceiling"}
    assert set(found["subsets"]) == {"a", "b", "c", "a+b", "a+c", "b+c"}
    assert set(found["subsets"]["a"]) == {"b", "c"}
    expected = macro_interval(right["b",]["c"].astype(float), LABELS[:150], seed=3)
    assert found["subsets"]["b"]["c"] == expected._asdict()
    both, one = found["conditional"]["1"], found["subsets"]["b"]["c"]
    assert both["high"] - both["low"] < one["high"] - one["low"]


def test_a_class_that_a_resample_misses_is_left_out():
    labels = np.array([0] * 50 + [1])
    found = macro_interval(np.ones(51), labels, seed=0)
    assert found == (1.0, 1.0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_has_the_spread_of_its_binomial(share):
    low, high = share_interval(share, 10_000, seed=0, num_resamples=20_000)
    half = 1.96 * np.sqrt(share * (1 - share) / 10_000)
    # Quantiles of 20,000 draws: relative standard error about 1.5 %.
    assert low == pytest.approx(share - half, abs=0.1 * half)
    assert high == pytest.approx(share + half, abs=0.1 * half)


def test_intervals_cover_the_truth():
    """Of 200 samples of 300 tuples, 95 % cover P = 2/3; 3 standard errors are 5 %."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    covered = 0
    for seed in range(200):
        scores = (rng.random(300) < 2 / 3).astype(float)
        low, high = macro_interval(scores, labels, seed=seed, num_resamples=200)
        covered += low <= 2 / 3 <= high
    assert 0.9 <= covered / 200 < 1.0


def test_rows_that_do_not_match():
    with pytest.raises(ValueError, match="`scores` has 2 rows, expected as many as"):
        macro_interval(np.ones(2), np.zeros(3, int), seed=0)


def test_the_level_is_what_the_documents_say():
    assert (bootstrap.LEVEL, bootstrap.NUM_RESAMPLES) == (0.95, 1_000)
