"""The two-sample test: silent under one law, and heard where laws differ."""

import numpy as np
import pytest

from jnf_jax.evaluation.statistics.two_sample import two_sample_test


def samples(num, scale=1.0):
    """(x, z) with z|x of sd ``scale`` and 1; x is shared row by row."""
    rng = np.random.default_rng(0)
    x = 3 * rng.standard_normal((num, 2))
    noise = rng.standard_normal((2, num, 2))
    return np.hstack([x, scale * noise[0]]), np.hstack([x, noise[1]])


def test_one_law_is_not_told_apart():
    """Not by x either, which each row has in common with the other sample's."""
    found = two_sample_test(*samples(1_500))
    assert abs(found.accuracy - 0.5) < 3 * found.standard_error
    assert found.standard_error == pytest.approx(0.5 / 3_000**0.5, rel=1e-2)
    assert found.detectable == pytest.approx(0.5 + 4 * 0.5 / 3_000**0.5)


def test_the_same_rows_twice_are_told_apart_exactly_half_of_the_time():
    """Both rows of a datum meet one classifier, which says the same of both.

    Forty rows share each x: were the two of a pair held out apart, x alone would tell
    which of them the training rows lack, and the guess would be worse than a coin's.
    """
    x = np.repeat(np.arange(16.0), 40)[:, None]
    assert two_sample_test(x, x).accuracy == 0.5


def test_accuracy_is_that_of_the_best_classifier_where_it_is_easy():
    """N(0, 0.25²) against N(0, 1), in one dimension."""
    rng = np.random.default_rng(1)
    narrow, wide = (
        0.25 * rng.standard_normal((2_000, 1)),
        rng.standard_normal((2_000, 1)),
    )
    # The densities cross at ±c, c² = 2 log 4 / (16 − 1); simulated far beyond need.
    crossing = np.sqrt(2 * np.log(4) / 15)
    many = np.abs(rng.standard_normal(10**6))
    best = 0.5 + 0.5 * ((0.25 * many < crossing).mean() - (many < crossing).mean())
    found = two_sample_test(narrow, wide)
    # Trees cut at bins of finite data: a little below the best, never far above.
    assert -0.03 < found.accuracy - best < 4 * found.standard_error


def test_twenty_per_cent_of_an_sd_are_heard():
    found = two_sample_test(*samples(3_000, scale=0.8))
    assert found.accuracy > 0.5 + 4 * found.standard_error


def test_monotone_transforms_change_nothing():
    first, second = samples(400, scale=0.6)
    plain = two_sample_test(first, second)
    assert two_sample_test(np.exp(first), np.exp(second)) == plain


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (np.zeros((40, 2)), np.zeros((40, 3)), r"\(40, 2\) and \(40, 3\), expected"),
        (np.zeros((39, 2)), np.zeros((39, 2)), "N >= 40"),
        (
            np.full((40, 2), np.nan),
            np.zeros((40, 2)),
            "have 40 of 80 rows that a",
        ),
    ],
)
def test_samples_that_cannot_be_compared(first, second, told):
    with pytest.raises(ValueError, match=told):
        two_sample_test(first, second)
