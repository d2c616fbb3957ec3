"""Differences on the same tuples, and the file that another run is compared by."""

import numpy as np
import pytest

from jnf_jax.evaluation import paired
from jnf_jax.evaluation.paired import Scores, paired_difference
from jnf_jax.evaluation.statistics.coherence import class_accuracy

LABELS = np.array([0, 0, 1, 1])
ONE, TWO = np.array([1, 0, 0.5, 0.5]), np.array([1, 1, 1, 0.5])
OWN = Scores({"1": ONE, "2": TWO}, LABELS, "key")


def test_a_gain_is_over_the_size_before():
    found = paired.gains(OWN)
    assert set(found) == {"2"}
    assert found["2"]["difference"] == pytest.approx((0.5 + 0.25) / 2)
    # Differences 0 and 1, 1/2 and 0: variances 1/2 and 1/8, of two rows each.
    assert found["2"]["standard_error"] == pytest.approx(np.sqrt(0.25 + 0.0625) / 2)


def test_sizes_that_both_have_are_compared():
    other = Scores({"1": TWO}, LABELS)
    found = paired.differences(OWN, other)
    assert set(found) == {"1"} and found["1"]["difference"] == pytest.approx(-0.375)


def test_what_is_kept_is_read(tmp_path):
    paired.keep(tmp_path, OWN)
    found = paired.read(tmp_path, "key")
    assert found.key == "key" and set(found.labels) == {0, 1}
    assert set(found.of_size) == {"1", "2"}
    np.testing.assert_array_equal(found.of_size["2"], TWO)
    assert paired.differences(OWN, found)["2"]["standard_error"] == 0.0


def test_other_tuples_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`--against=.*has no scores\.npz, expected"):
        paired.read(tmp_path, "key")
    paired.keep(tmp_path, OWN)
    with pytest.raises(ValueError, match="scored 4 tuples that are not this run's"):
        paired.read(tmp_path, "another")


def test_a_paired_difference_is_that_of_the_macro_averages():
    rng = np.random.default_rng(1)
    labels, predicted, other = rng.integers(0, 3, (3, 400))
    macro = [class_accuracy(p, labels, num_classes=3).macro for p in (predicted, other)]
    right = [(p == labels).astype(float) for p in (predicted, other)]
    found = paired_difference(*right, labels)
    assert found.difference == pytest.approx(macro[0] - macro[1])


def test_the_standard_error_is_the_spread_of_paired_differences():
    """Over tuples drawn anew within their class, easy and hard ones alike for both."""
    labels = np.repeat([0, 1, 2], [300, 200, 100])

    def drawn(rng):
        hard = rng.random(600)
        other = (hard < 0.6) ^ (rng.random(600) < 0.05)
        return (hard < 0.7).astype(float), other.astype(float)

    found = []
    for seed in range(800):
        found.append(paired_difference(*drawn(np.random.default_rng(seed)), labels))
    spread = np.std([f.difference for f in found], ddof=1)
    error = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    # The sd of 800 has a relative standard error of 1 / √1598 = .025.
    assert error == pytest.approx(spread, rel=0.1)
    separate = np.sqrt(2 * 0.25 / 600)  # what two intervals would suggest, and more
    assert error < 0.75 * separate


def test_a_difference_of_single_rows_has_no_standard_error():
    ones, labels = np.ones(3), np.array([0, 0, 1])
    assert paired_difference(ones, 0 * ones, labels) == (1.0, None)
    with pytest.raises(ValueError, match=r"have \[3, 2, 3\] rows, expected one number"):
        paired_difference(ones, ones[:2], labels)
