"""MNIST-SVHN, from small prepared sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.data import load, mnist_svhn


@pytest.fixture(scope="module")
def places(prepared, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {"data_dir": str(prepared[0]), "cache_dir": str(cache)}


@pytest.fixture(scope="module")
def data(places):
    return load("mnist_svhn", validation_fraction=0.3, **places)


def test_names_shapes_and_sizes(data):
    # Far fewer images than the official set, and the name says so.
    assert data.name == "mnist_svhn_mini" and data.num_classes == 10
    assert data.shapes == {"mnist": (28, 28, 1), "svhn": (32, 32, 3)}
    # Of 6 and 5 training images a class, validation takes two and one.
    assert data.record["sizes"] == {"train": 5 * 40, "validation": 10, "test": 20}


def test_the_name_of_the_full_set(places, monkeypatch):
    monkeypatch.setattr(mnist_svhn, "OFFICIAL_SVHN_TRAIN", 50)
    assert load("mnist_svhn", **places).name == "mnist_svhn"


def test_pairs_are_of_one_class(prepared, data):
    split = data.splits["test"]
    for column, name in enumerate(("mnist", "svhn_cropped")):
        labels = prepared[1][name]["test"][1]
        rows = split.arrays["pairing"][:, column]
        np.testing.assert_array_equal(labels[rows], split.labels)
        assert len(set(rows)) == len(rows)  # one pass uses an image once


def test_the_limit_of_a_class(places, monkeypatch):
    monkeypatch.setattr(mnist_svhn, "PER_CLASS", 1)
    data = load("mnist_svhn", multiplier=3, **places)
    assert data.record["sizes"]["test"] == 10
    assert np.bincount(data.splits["train"].labels).tolist() == [3] * 10


def test_splits_share_no_image(data):
    for name, total in (("mnist", 90), ("svhn", 70)):
        parts = [
            {picture.tobytes() for picture in split.arrays[name]}
            for split in data.splits.values()
        ]
        assert sum(map(len, parts)) == len(set.union(*parts)) == total


def test_fetch_gathers_the_paired_images(prepared, data):
    split = data.splits["test"]
    indices = jnp.array([7, 0])
    batch = jax.jit(data.fetch)(split.arrays, indices)
    for column, (name, source) in enumerate(
        (("mnist", "mnist"), ("svhn", "svhn_cropped"))
    ):
        rows = split.arrays["pairing"][np.asarray(indices), column]
        expected = prepared[1][source]["test"][0][rows] / 255.0
        assert batch[name].dtype == jnp.float32
        np.testing.assert_allclose(batch[name], expected, atol=1e-6)


def test_seeds_and_the_record(data, places):
    again = load("mnist_svhn", validation_fraction=0.3, **places)
    assert again.record == data.record
    other = load("mnist_svhn", seed=0, **places).record["checksums"]
    ours = data.record["checksums"]
    assert ours["test"]["svhn"] == other["test"]["svhn"]
    assert ours["test"]["pairing"] != other["test"]["pairing"]


def test_svhn_may_lie_elsewhere_and_is_asked_for_by_name(prepared, places, tmp_path):
    with pytest.raises(FileNotFoundError, match="jnf_jax.data.prepare svhn_cropped"):
        load("mnist_svhn", svhn_data_dir=str(tmp_path), **places)
    folders = {"data_dir": str(prepared[0]), "svhn_data_dir": str(prepared[0])}
    load("mnist_svhn", cache_dir=places["cache_dir"], **folders)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="`data.multiplier` is 0, expected 1 to 1000"):
        load("mnist_svhn", multiplier=0)
