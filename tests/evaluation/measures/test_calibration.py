"""Ranks and their uniformity, against simulations whose law is known."""

import numpy as np
import pytest

from jnf_jax.evaluation.measures.posterior_match import NUM_BINS, uniformity


def ranks_of(num, num_draws, scale=1.0, shift=0.0, quantities=3, seed=0):
    """Of N(0, 1) among draws of N(shift, scale²)."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((num, quantities))
    draws = shift + scale * rng.standard_normal((num_draws, num, quantities))
    return (draws < truth).sum(axis=0)


def test_p_values_of_calibrated_ranks_are_uniform():
    """One quantity, 300 repetitions: within 4 standard errors of their shares."""
    p = [
        uniformity(ranks_of(320, 31, quantities=1, seed=s), 31).p_value
        for s in range(300)
    ]
    for level in (0.1, 0.5, 0.9):
        error = np.sqrt(level * (1 - level) / len(p))
        assert abs((np.array(p) < level).mean() - level) < 4 * error


def test_many_quantities_are_not_many_alarms():
    """Of 100 repetitions with 20 quantities about 5 are below 0.05."""
    p = [
        uniformity(ranks_of(320, 31, quantities=20, seed=s), 31).p_value
        for s in range(100)
    ]
    assert sum(x < 0.05 for x in p) <= 5 + 4 * np.sqrt(5)


@pytest.mark.parametrize(
    ("change", "outer"), [(dict(scale=0.7), 1.3), (dict(scale=1.4), -0.7)]
)
def test_wrong_widths_are_found_and_told_apart(change, outer):
    found = uniformity(ranks_of(1_000, 31, **change), 31)
    assert found.p_value < 1e-4
    # ∪ of draws too narrow, ∩ of draws too broad.
    assert found.outer > outer if outer > 0 else found.outer < -outer


def test_a_shift_of_one_quantity_in_ten_is_found():
    ranks = ranks_of(1_000, 31, quantities=10)
    ranks[:, 7] = ranks_of(1_000, 31, shift=0.4, quantities=1, seed=9)[:, 0]
    assert uniformity(ranks, 31).p_value < 1e-4


def test_the_histogram_is_of_bins_of_equal_ranks():
    found = uniformity(np.repeat(np.arange(32), 10)[:, None], 31)
    np.testing.assert_allclose(found.histogram, np.ones(NUM_BINS))
    assert found.p_value == found.outer == 1.0
    low = uniformity(np.zeros((160, 1), int), 31)
    assert low.histogram[0] == NUM_BINS and low.outer == NUM_BINS / 2


@pytest.mark.parametrize(
    ("ranks", "num_draws", "told"),
    [
        (np.zeros((100, 1), int), 30, "is 30, expected a multiple of 16, less 1"),
        (np.zeros((79, 1), int), 31, "has 79 rows, expected >= 80"),
        (np.full((80, 1), 32), 31, "has 32 to 32, expected 0 to 31"),
    ],
)
def test_ranks_that_say_nothing(ranks, num_draws, told):
    with pytest.raises(ValueError, match=told):
        uniformity(ranks, num_draws)
