"""Digits in quadrants: digit and quadrant are exactly independent, in every split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.data import load, quadrants


@pytest.fixture(scope="module")
def data():
    return load("quadrants")


@pytest.fixture(scope="module")
def mnist(prepared, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    places = {"data_dir": str(prepared[0]), "cache_dir": cache}
    return load("quadrants", source="mnist", validation_fraction=0.3, **places)


def test_names_shapes_and_sizes(data, mnist):
    assert (data.name, mnist.name) == ("quadrants", "quadrants_mnist")
    assert data.shapes == {
        "image": (32, 32, 1), "label": (1, 10), "quadrant": (1, 4)
    }  # fmt: skip
    assert mnist.shapes["image"] == (56, 56, 1)
    # The rarest digit has 174 images: 122, 17 and 35 of them, in four quadrants each.
    assert data.record["sizes"] == {"train": 4880, "validation": 680, "test": 1400}
    # Of 6 training images a class, validation takes two; 3 are for the test.
    assert mnist.record["sizes"] == {"train": 160, "validation": 80, "test": 120}


def together(data, split, num=None):
    """How often each label comes with each quadrant, i[10, 4]."""
    split = data.splits[split]
    views = data.fetch(split.arrays, jnp.arange(split.size if num is None else num))
    return np.asarray(jnp.einsum("bil,biq->lq", views["label"], views["quadrant"]))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_label_and_quadrant_are_exactly_independent(data, mnist, split):
    for of in (data, mnist):
        found = together(of, split)
        assert (found == of.splits[split].size / 40).all()
    assert (together(data, split, 80) == 2).all()  # a prefix of whole blocks too


def test_every_image_is_once_in_every_quadrant(data, mnist):
    for of in (data, mnist):
        for split in of.splits.values():
            tuples, num = split.arrays["tuples"], len(split.arrays["images"])
            assert len(np.unique(tuples, axis=0)) == split.size == 4 * num
            np.testing.assert_array_equal(
                split.arrays["digits"][tuples[:, 0]], split.labels
            )


def test_pictures_show_the_image_in_its_quadrant_and_nothing_elsewhere(data):
    split, rows = data.splits["test"], np.arange(60)
    views = jax.jit(data.fetch)(split.arrays, rows)
    np.testing.assert_array_equal(views["label"][:, 0].argmax(-1), split.labels[:60])
    for picture, where, (image, quadrant) in zip(
        np.asarray(views["image"][..., 0]),
        np.asarray(views["quadrant"][:, 0]),
        split.arrays["tuples"][:60],
        strict=True,
    ):
        assert where.argmax() == quadrant and where.sum() == 1
        expected, (row, column) = np.zeros((32, 32)), divmod(quadrant, 2)
        own = expected[16 * row :, 16 * column :][:16, :16]
        own[...] = split.arrays["images"][image] / 255
        np.testing.assert_array_equal(picture, expected)


def test_splits_share_no_image_and_seeds_differ(mnist, prepared):
    parts = [
        {picture.tobytes() for picture in split.arrays["images"]}
        for split in mnist.splits.values()
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 90
    labels = np.arange(80) % 10
    one, other = (
        quadrants.balanced_tuples(labels, seed=seed, split="train") for seed in (0, 1)
    )
    assert one.shape == (320, 2) and (one != other).any()


def test_boards_show_which_value_is_chosen(data):
    chosen = np.eye(4, dtype=np.float32)[[1, 2]][:, None]
    boards = data.presentations["quadrant"].picture(chosen)
    assert boards.shape == (2, 32, 32, 1)
    assert boards[0, 0, 31, 0] == boards[1, 31, 0, 0] == 1 and boards.sum() == 512
    assert data.presentations["label"].picture(np.zeros((3, 1, 10))).shape[1:3] == (
        32, 80
    )  # fmt: skip
