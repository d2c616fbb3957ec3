"""Rows with holes: which rows go together, and what becomes of their draws."""

import dataclasses

import numpy as np
import pytest

from jnf_jax.data.dataset import Dataset, Scaling
from jnf_jax.experiments import imputation
from jnf_jax.experiments.imputation import Group
from jnf_jax.experiments.new_rows import Chains

NAN = np.nan
DATASET = Dataset(
    "made",
    {"a": (2,), "b": (1,), "c": (2, 2, 1)},
    splits={},
    fetch=lambda arrays, rows: {},
    num_classes=None,
    record={},
    unbounded=("a", "b"),
    scaling={"a": Scaling(np.float32([10, 20]), np.float32([2, 4]))},
)
A = np.array([[12.0, 16.0], [NAN, NAN], [8.0, 0.1]])
PICTURES = np.full((3, 2, 2, 1), 51, np.uint8)


def read(**views):
    return imputation.read(DATASET, views, "partial")


def test_rows_that_lack_the_same_views_go_together():
    b = np.ma.masked_array([1, 2, 3], [True, False, False])
    found = dict(read(a=A, b=b).patterns())
    assert {given: rows.tolist() for given, rows in found.items()} == {
        ("a",): [0],
        ("b",): [1],
        ("a", "b"): [2],
    }
    nothing = dict(read(a=np.full((3, 2), NAN)).patterns())
    assert [*nothing] == [()] and nothing[()].tolist() == [0, 1, 2]


def test_a_model_reads_its_own_units_and_zeros_for_holes():
    found = read(a=A, c=PICTURES)
    np.testing.assert_allclose(found.read["a"][[0, 2]], [[1, -1], [-1, -4.975]])
    np.testing.assert_allclose(found.read["c"], 0.2)
    assert found.missing["a"].tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert found.missing["b"].all() and not found.missing["c"].any()


def test_single_entries_are_holes_where_training_had_some():
    """They stay NaN for the encoder, and only they are filled."""
    data = dataclasses.replace(DATASET, partial=("a",))
    a = np.ma.masked_array([[12, 16], [8, 4], [1, 1]], [[0, 1], [0, 0], [1, 1]])
    partial = imputation.read(data, {"a": a, "b": [1.0, 2.0, 3.0]}, "partial")
    np.testing.assert_allclose(partial.read["a"][:2], [[1, NAN], [-1, -4]])
    found = {given: rows.tolist() for given, rows in partial.patterns()}
    assert found == {("a", "b"): [0, 1], ("b",): [2]}
    drawn = [np.full((2, n, 2), 7.0, np.float32) for n in (2, 1)]
    groups = [
        Group(np.array([0, 1]), {"a": drawn[0]}, None),
        Group(np.array([2]), {"a": drawn[1]}, None),
    ]
    filled = imputation.complete(partial, groups, 2).views["a"]
    np.testing.assert_array_equal(filled, [[12, 7], [8, 4], [7, 7]])


def test_what_was_seen_stays_and_holes_have_the_moments_of_their_draws():
    rng = np.random.default_rng(0)
    drawn = {
        m: rng.normal(size=(51, 1, *DATASET.shapes[m])).astype(np.float32)
        for m in DATASET.shapes
    }
    partial = read(a=A, b=[2, 5, -7])
    groups = [
        Group(np.array([1]), {m: drawn[m] for m in "ac"}, None),
        Group(np.array([0, 2]), {"c": np.tile(drawn["c"], (1, 2, 1, 1, 1))}, None),
    ]
    found = imputation.complete(partial, groups, 51)
    assert [*found.views] == ["a", "b", "c"] and [*found.draws] == ["a", "c"]
    assert found.views["b"].tolist() == [[2], [5], [-7]]
    np.testing.assert_array_equal(found.views["a"][[0, 2]], A[[0, 2]])  # f64, all of it
    of_hole = drawn["a"][:, 0]
    np.testing.assert_allclose(found.views["a"][1], of_hole.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.sd["a"][1], of_hole.std(axis=0), rtol=1e-5)
    expected = np.sort(of_hole, axis=0)[[2, 25, 47]]  # next to 5 %; the middle; 95 %
    np.testing.assert_allclose(found.quantiles["a"][1, 1], expected[1])
    np.testing.assert_allclose(
        found.quantiles["a"][[0, 2], 1],
        (expected[[0, 2]] + np.sort(of_hole, axis=0)[[3, 48]]) / 2,
        rtol=1e-5,
    )
    assert not found.sd["a"][[0, 2]].any()
    np.testing.assert_array_equal(found.draws["a"][7, [0, 2]], np.float32(A[[0, 2]]))
    np.testing.assert_array_equal(found.draws["c"][:, 2], drawn["c"][:, 0])
    assert found.chains is None


def test_chains_of_some_rows_stand_at_their_numbers():
    shape = (2, 1)
    bad = Chains(np.zeros(shape), np.zeros(shape, int), np.ones(shape))
    groups = [
        Group(np.array([2]), {"b": np.ones((2, 1, 1))}, bad),
        Group(np.array([0, 1]), {"b": np.ones((2, 2, 1))}, None),
    ]
    chains = imputation.complete(read(c=PICTURES, a=A + 0), groups, 2).chains
    np.testing.assert_array_equal(chains.is_suspect, [[False, False, True]] * 2)
    assert "of rows 2: their chains" in chains.warning()


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ({}, "`partial` is {}, expected {name: array"),
        ({"x": [1.0]}, r"`partial` has \['x'\], expected some of \['a', 'b', 'c'\]"),
        (
            {"a": [[1.0, NAN]]},
            "`partial.a`: row 0 lacks some of its values, expected a",
        ),
        ({"a": [[1.0, np.inf]]}, "`partial.a` has 1 values that are NaN, infinite or"),
        ({"a": [[NAN] * 3]}, r"`partial.a` has shape \(1, 3\), expected \(1, 2\)"),
        ({"a": A, "b": [1.0, 2.0]}, "`partial` has rows {'a': 3, 'b': 2}, expected"),
        (
            {"a": np.array([[None, 1]])},
            "`partial.a` has dtype object, expected numbers",
        ),
        ({"a": [[1.0], [1.0, 2.0]]}, "`partial.a` is no array"),
        (
            {"c": np.full((1, 2, 2, 1), 7.0)},
            "`partial.c` goes from 7 to 7, expected by",
        ),
    ],
)
def test_what_is_no_row_is_one_line(views, told):
    with pytest.raises(ValueError, match=told) as error:
        read(**views)
    assert "\n" not in str(error.value)
