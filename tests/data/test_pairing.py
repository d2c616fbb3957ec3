"""Splits by image and pairing by class."""

import numpy as np
import pytest

from jnf_jax.data import pairing

LABELS = np.repeat(np.arange(4), [10, 20, 30, 40]).astype(np.int32)


def test_splits_share_no_image_and_lose_none():
    parts = pairing.split_by_image(LABELS, (0.7, 0.1, 0.2), seed=1)
    everything = np.concatenate(parts)
    assert sorted(everything) == list(range(100))
    assert [np.bincount(LABELS[part]).tolist() for part in parts] == [
        [7, 14, 21, 28],
        [1, 2, 3, 4],
        [2, 4, 6, 8],
    ]


def test_the_split_follows_its_seed():
    one, again, other = (
        pairing.split_by_image(LABELS, (0.5,), seed=s)[0] for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_tuples_are_of_one_class_and_every_image_is_used_once_a_repeat():
    rows, of_class = pairing.pair_by_class(
        [LABELS] * 3, repeats=2, seed=0, split="train"
    )
    assert rows.shape == (200, 3) and rows.dtype == np.int32
    np.testing.assert_array_equal(LABELS[rows], np.stack([of_class] * 3, axis=1))
    for repeat in np.split(rows, 2):
        for column in repeat.T:
            assert sorted(column) == list(range(100))
    assert not np.array_equal(rows[:100], rows[100:])


def test_modalities_are_permuted_independently():
    rows, _ = pairing.pair_by_class([LABELS] * 2, repeats=1, seed=0, split="train")
    # Chance agreement is 1 in each class: 4 expected of 100, sd below 2.
    assert (rows[:, 0] == rows[:, 1]).sum() < 14


def test_pairing_follows_seed_and_split():
    def pair(seed, split):
        return pairing.pair_by_class([LABELS], repeats=1, seed=seed, split=split)[0]

    np.testing.assert_array_equal(pair(0, "train"), pair(0, "train"))
    assert not np.array_equal(pair(0, "train"), pair(1, "train"))
    assert not np.array_equal(pair(0, "train"), pair(0, "test"))


def test_different_sets_are_cut_to_the_smaller_and_to_the_limit():
    other = np.repeat(np.arange(4), [15, 5, 0, 50]).astype(np.int32)
    rows, of_class = pairing.pair_by_class(
        [LABELS, other], repeats=3, seed=0, split="test", limit=12
    )
    assert np.bincount(of_class, minlength=4).tolist() == [30, 15, 0, 36]
    np.testing.assert_array_equal(LABELS[rows[:, 0]], of_class)
    np.testing.assert_array_equal(other[rows[:, 1]], of_class)


def test_reuse_uses_every_image_and_smaller_sets_evenly():
    many, few = np.repeat([0, 1], [11, 7]), np.repeat([0, 1], [4, 9])
    rows, of_class = pairing.pair_by_class(
        [many, few], repeats=1, seed=0, split="train", reuse=True
    )
    assert len(rows) == 11 + 9
    np.testing.assert_array_equal(many[rows[:, 0]], of_class)
    np.testing.assert_array_equal(few[rows[:, 1]], of_class)
    for column, size in ((0, 18), (1, 13)):
        used = np.bincount(rows[:, column], minlength=size)
        assert used.min() >= 1 and used.max() <= 3


def test_nothing_can_be_reused_of_a_class_that_a_modality_does_not_have():
    digits = [np.array([0, 1]), np.array([0])]
    with pytest.raises(ValueError, match=r"class 1 of split 'test' has \[1, 0\]"):
        pairing.pair_by_class(digits, repeats=1, seed=0, split="test", reuse=True)
