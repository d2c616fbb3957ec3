"""Coherence against counts made by hand."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.evaluation.statistics.coherence import (
    ClassAccuracy,
    agreement,
    average_by_size,
    class_accuracy,
    coherence_table,
    label_entropy,
    some_subsets,
    subsets,
)


def test_macro_average_weighs_classes_equally():
    labels = np.array([0] * 90 + [1] * 10)
    predicted = np.zeros(100, np.int32)
    accuracy = class_accuracy(predicted, labels, num_classes=2)
    assert accuracy.macro == 0.5
    assert accuracy.micro == 0.9
    np.testing.assert_array_equal(accuracy.per_class, [1.0, 0.0])


def test_macro_average_leaves_absent_classes_out():
    accuracy = class_accuracy(np.array([7, 7]), np.array([7, 7]), num_classes=10)
    assert accuracy.macro == 1.0
    assert np.isnan(accuracy.per_class).sum() == 9


def test_accuracy_agrees_with_a_loop_over_classes(seed=3):
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 10, (2, 500))
    accuracy = class_accuracy(jnp.asarray(predicted), labels, num_classes=10)
    loop = [np.mean(predicted[labels == y] == y) for y in range(10)]
    np.testing.assert_allclose(accuracy.per_class, loop)
    assert accuracy.macro == pytest.approx(np.mean(loop), abs=1e-15)


def test_accuracy_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, (2, 99))
    order = rng.permutation(99)
    here = class_accuracy(predicted, labels, num_classes=4)
    there = class_accuracy(predicted[order], labels[order], num_classes=4)
    assert (here.macro, here.micro) == (there.macro, there.micro)


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        ([0, 1], [0], "`predicted` has 2 rows, expected 1"),
        ([], [], "`labels` is empty"),
        ([0], [3], "`labels` holds labels 3 to 3, expected 0 to 2"),
        ([-1], [0], "`predicted` holds labels -1 to -1, expected 0 to 2"),
    ],
)
def test_bad_labels_are_errors(predicted, labels, message):
    with pytest.raises(ValueError, match=message):
        class_accuracy(
            np.array(predicted, np.int32), np.array(labels, np.int32), num_classes=3
        )


def test_agreement_needs_every_modality():
    predicted = {
        "m0": np.array([1, 2, 3, 4]),
        "m1": np.array([1, 2, 3, 0]),
        "m2": np.array([1, 0, 3, 4]),
    }
    agreed = agreement(predicted)
    assert agreed.share == 0.5
    np.testing.assert_array_equal(agreed.labels, [1, 3])
    for order in itertools.permutations(predicted):
        assert agreement({name: predicted[name] for name in order}).share == 0.5


def test_agreement_of_independent_classifiers_is_chance():
    # P[agree] = C^(1−M) = 1/16; standard error of 40,000 draws is 0.0012.
    draws = np.random.default_rng(0).integers(0, 4, (3, 40_000))
    agreed = agreement({f"m{i}": row for i, row in enumerate(draws)})
    assert abs(agreed.share - 1 / 16) < 5 * 0.0012
    assert label_entropy(agreed.labels, 4) == pytest.approx(math.log(4), abs=0.01)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ({"m0": [1, 2]}, "at least two"),
        ({"m0": [1, 2], "m1": [1]}, "'m0': 2, 'm1': 1"),
        ({"m0": [], "m1": []}, "one number > 0"),
    ],
)
def test_agreement_of_nothing_is_an_error(predicted, message):
    with pytest.raises(ValueError, match=message):
        agreement({name: np.array(row, np.int32) for name, row in predicted.items()})


def test_label_entropy_closed_forms():
    assert label_entropy(np.zeros(50, np.int32), 10) == 0.0
    assert label_entropy(np.arange(10), 10) == pytest.approx(math.log(10))
    # Shares 3/4 and 1/4.
    expected = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert label_entropy(np.array([5, 5, 5, 1]), 10) == pytest.approx(expected)


def test_label_entropy_is_undefined_where_nothing_agrees():
    assert label_entropy(np.zeros(0, np.int32), 10) is None
    with pytest.raises(ValueError, match="`agreed` holds labels 10 to 10"):
        label_entropy(np.array([10]), 10)


@pytest.mark.parametrize("num_modalities", [2, 3, 5])
def test_subsets_are_all_but_empty_and_full(num_modalities):
    names = [f"m{i}" for i in range(num_modalities)]
    found = subsets(names[::-1])
    assert len(found) == 2**num_modalities - 2
    assert found == sorted(found, key=lambda s: (len(s), s))
    assert all(list(s) == sorted(s) for s in found)
    for size in range(1, num_modalities):
        assert len(subsets(names, size=size)) == math.comb(num_modalities, size)


@pytest.mark.parametrize("size", [0, 3, -1])
def test_subsets_of_impossible_size_are_an_error(size):
    with pytest.raises(ValueError, match=f"`size` is {size}, expected 1 to 2"):
        subsets("abc", size=size)
    with pytest.raises(ValueError, match="at least two names"):
        subsets(["a", "a"])


def test_some_subsets_are_all_of_few_and_some_of_each_size_of_many():
    assert some_subsets("abcde", most=30, seed=1) == subsets("abcde")
    chosen = some_subsets("fedcba", most=30, seed=1)
    assert chosen == [s for s in subsets("abcdef") if s in chosen] and len(chosen) == 30
    assert chosen == some_subsets("abcdef", most=30, seed=1)
    assert chosen != some_subsets("abcdef", most=30, seed=2)
    many = some_subsets([f"m{i:02d}" for i in range(40)], most=30, seed=0)
    assert [len(set(s)) for s in many] == [*range(1, 40)]
    # Sizes with few subsets leave the rest of their share to the others.
    sizes = [len(s) for s in some_subsets("abcdefg", most=60, seed=0)]
    assert [sizes.count(k) for k in range(1, 7)] == [7, 11, 12, 12, 11, 7]


def test_averages_may_be_over_the_subsets_that_were_chosen():
    values = {("a",): {"b": 0.2, "c": 0.4}, ("b",): {"a": 0.6, "c": 0.8}}
    assert average_by_size(values, [*values, ("a", "c")]) == {"1": pytest.approx(0.5)}
    with pytest.raises(ValueError, match=r"`values\[\('c',\)\]` has targets \[\]"):
        average_by_size(values, [*values, ("c",)])


def test_average_is_over_targets_first_and_then_over_subsets():
    table = average_by_size(
        {
            ("a",): {"b": 0.2, "c": 0.4},
            ("b",): {"a": 0.6, "c": 0.6},
            ("c",): {"a": 0.0, "b": 0.0},
            ("b", "a"): {"c": 1.0},
            ("a", "c"): {"b": 0.5},
            ("b", "c"): {"a": 0.0},
        }
    )
    assert table == {"1": pytest.approx(0.3), "2": pytest.approx(0.5)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "`values` is empty"),
        ({("a",): {"b": 1.0}}, r"`values\[\('b',\)\]` has targets \[\]"),
        (
            {("a",): {"a": 1.0, "b": 1.0}, ("b",): {"a": 1.0}},
            r"has targets \['a', 'b'\], expected \['b'\]",
        ),
        ({("a", "b"): {"c": 1.0}, ("b", "a"): {"c": 1.0}}, "names a subset twice"),
    ],
)
def test_average_over_an_incomplete_table_is_an_error(values, message):
    with pytest.raises(ValueError, match=message):
        average_by_size(values)


def test_coherence_table_keeps_macro_and_micro_apart():
    def accuracy(macro, micro):
        return ClassAccuracy(macro, micro, np.array([macro]))

    table = coherence_table(
        {
            ("a",): {"b": accuracy(0.5, 0.9)},
            ("b",): {"a": accuracy(0.7, 0.7)},
        }
    )
    assert table.macro == {"1": pytest.approx(0.6)}
    assert table.micro == {"1": pytest.approx(0.8)}
    assert table.num_subsets == {"1": 2}
