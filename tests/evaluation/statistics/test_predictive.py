"""Ranks, coverage and CRPS against closed forms and brute force."""

import numpy as np
import pytest

from jnf_jax.evaluation.statistics.predictive import (
    fair_crps,
    half_mean_difference,
    is_covered,
    ranks,
)

RNG = np.random.default_rng(0)


def test_the_crps_is_the_sum_over_all_pairs():
    draws, truth = RNG.normal(size=(7, 3, 2)), RNG.normal(size=(3, 2))
    apart = np.abs(draws[:, None] - draws[None]).sum(axis=(0, 1)) / (7 * 6)
    np.testing.assert_allclose(half_mean_difference(draws), apart / 2)
    expected = np.abs(draws - truth).mean(axis=0) - apart / 2
    np.testing.assert_allclose(fair_crps(draws, truth), expected)


@pytest.mark.parametrize("num_draws", [2, 39])
def test_the_crps_has_no_bias_however_few_the_draws(num_draws):
    """A normal forecast of normal data costs σ/√π; four standard errors."""
    draws, truth = 3 * RNG.normal(size=(num_draws, 20_000)), 3 * RNG.normal(size=20_000)
    found = fair_crps(draws, truth)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - 3 / np.sqrt(np.pi)) < 4 * error


@pytest.mark.parametrize("levels", [2, 1_000_000])  # ties everywhere, and hardly any
def test_coverage_is_exact_where_draws_have_the_law_of_the_truth(levels):
    draws = RNG.integers(0, levels, (40, 20_000)).astype(float)
    found = ranks(draws[1:], draws[0], RNG)
    for percent in (5, 50, 80, 95):
        share = percent / 100
        error = np.sqrt(share * (1 - share) / 20_000)
        assert abs(is_covered(found, 39, percent).mean() - share) < 4 * error


def test_a_level_between_intervals_is_refused():
    with pytest.raises(ValueError, match="`num_draws` is 38, expected one whose succ"):
        is_covered(np.zeros(1, int), 38, 95)
