"""Fréchet distances of Gaussians, against closed forms; streaming moments are exact."""

import numpy as np
import pytest
import scipy.linalg

from jnf_jax.evaluation.statistics.coherence import average_by_size, subsets
from jnf_jax.evaluation.statistics.frechet import (
    Gaussian,
    add_batch,
    average_conditional,
    frechet_distance,
    gaussian,
    gaussian_of,
)

RNG = np.random.default_rng(0)


def rotation(size):
    return np.linalg.qr(RNG.normal(size=(size, size)))[0]


def normal(mean, covariance):
    return Gaussian(1_000, np.asarray(mean, float), np.asarray(covariance, float))


def test_one_dimension():
    """(μ_1 − μ_2)² + (σ_1 − σ_2)²."""
    got = frechet_distance(normal([1.0], [[4.0]]), normal([-2.0], [[0.25]]))
    assert got == pytest.approx(3.0**2 + 1.5**2, rel=1e-14)


def test_commuting_covariances():
    """‖μ_1 − μ_2‖² + Σ (√λ_1 − √λ_2)² where the eigenvectors are the same."""
    axes, means = rotation(20), RNG.normal(size=(2, 20))
    spread = RNG.uniform(0, 3, size=(2, 20))
    pair = [
        normal(mean, axes @ np.diag(sd**2) @ axes.T)
        for mean, sd in zip(means, spread, strict=True)
    ]
    expected = np.square(means[0] - means[1]).sum()
    expected += np.square(spread[0] - spread[1]).sum()
    assert frechet_distance(*pair) == pytest.approx(expected, rel=1e-12)


def test_covariances_that_do_not_commute():
    """The definition, with the square root of a product as SciPy computes it."""
    roots, means = RNG.normal(size=(2, 12, 12)), RNG.normal(size=(2, 12))
    one, other = (r @ r.T for r in roots)
    expected = np.square(means[0] - means[1]).sum() + np.trace(one + other)
    expected -= 2 * np.trace(scipy.linalg.sqrtm(one @ other).real)
    pair = normal(means[0], one), normal(means[1], other)
    assert frechet_distance(*pair) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(*pair[::-1]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rank", [3, 30, 300])
def test_the_same_data_are_at_distance_zero(rank):
    """Also where features are dead or depend on each other."""
    draws = RNG.normal(size=(500, rank)) @ RNG.normal(size=(rank, 300)) + 100
    draws[:, :10] = 0
    one = gaussian_of([draws])
    other = gaussian_of([draws[RNG.permutation(500)]])
    # Eigenvalues of rank-deficient covariances are known to about 1e-16 of the trace,
    # their roots to 1e-8; products of two such roots are what is left.
    scale = np.trace(one.covariance)
    assert 0 <= frechet_distance(one, one) < 1e-12 * scale
    assert 0 <= frechet_distance(one, other) < 1e-12 * scale


def test_rotating_both_changes_nothing():
    roots, turn = RNG.normal(size=(2, 9, 9)), rotation(9)
    pair = [normal(r[0], r @ r.T) for r in roots]
    turned = [normal(turn @ g.mean, turn @ g.covariance @ turn.T) for g in pair]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(*pair))


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_moments_do_not_depend_on_batches(size):
    """Every row counts, those of the last, smaller batch too; nor on a large mean."""
    draws = RNG.normal(size=(200, 6)) * np.arange(1, 7) + 1e6
    moments = None
    for start in range(0, 200, size):
        moments = add_batch(moments, draws[start : start + size])
    found = gaussian(moments)
    assert found.count == 200
    np.testing.assert_allclose(found.mean, draws.mean(0), rtol=1e-14)
    expected = np.cov(draws, rowvar=False)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-8, atol=1e-8)


def test_averages_are_over_targets_then_subsets():
    names = ("a", "b", "c")
    distances = {
        s: {t: RNG.uniform() for t in names if t not in s} for s in subsets(names)
    }
    assert average_conditional(distances) == pytest.approx(average_by_size(distances))
    # "c" is no picture: what is generated of it is not measured.
    pictures = {
        s: {t: d for t, d in by.items() if t != "c"} for s, by in distances.items()
    }
    got = average_conditional(pictures)
    from_one = [
        pictures["a",]["b"],
        pictures["b",]["a"],
        (pictures["c",]["a"] + pictures["c",]["b"]) / 2,
    ]
    from_two = [pictures["a", "c"]["b"], pictures["b", "c"]["a"]]
    assert got == pytest.approx({"1": np.mean(from_one), "2": np.mean(from_two)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: gaussian_of([np.ones((9, 9))]),
            "9 draws of 9 features, expected more",
        ),
        (lambda: gaussian_of([]), "`batches` is empty"),
        (lambda: add_batch(None, np.ones((0, 3))), r"shape \(0, 3\), expected"),
        (lambda: add_batch(None, np.full((2, 3), np.nan)), "NaN or infinite"),
        (
            lambda: gaussian_of([np.ones((2, 3)), np.ones((2, 4))]),
            "`features` has 4 columns, expected 3",
        ),
        (
            lambda: frechet_distance(normal([0], [[1]]), normal([0, 0], np.eye(2))),
            "`other` has 2 features, expected 1",
        ),
        (
            lambda: frechet_distance(
                normal([0, 0], [[1, 2], [0, 1]]), normal([0, 0], np.eye(2))
            ),
            "`one.covariance` is not symmetric",
        ),
        (
            lambda: frechet_distance(
                normal([0, 0], np.eye(2)), normal([0, 0], np.diag([1, -1]))
            ),
            "`other.covariance` has the eigenvalue -1, expected none < 0",
        ),
        (
            lambda: frechet_distance(normal([0], [[np.inf]]), normal([0], [[1]])),
            "`one` has values that are NaN",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
