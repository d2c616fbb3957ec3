"""PolyMNIST over textures and over pictures of one's own, from a small MNIST."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jnf_jax.data import load, polymnist

NAMES = ("m0", "m1", "m2")


@pytest.fixture(scope="module")
def places(prepared, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {"data_dir": str(prepared[0]), "cache_dir": str(cache)}


@pytest.fixture
def pictures(tmp_path):
    """Five pictures of their own size and colour, a subfolder and a text beside."""
    for k, name in enumerate(("a.png", "b.png", "c.PNG", "d.png", "e.png")):
        pixels = np.full((28 + k, 40, 3), 40 * k, np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "extra").mkdir()
    (tmp_path / "README.txt").write_text("not a picture")
    return tmp_path


@pytest.fixture(scope="module")
def data(places):
    return load("polymnist", num_modalities=3, **places)


def test_names_shapes_and_sizes(data):
    assert data.name == "polymnist_procedural" and data.num_classes == 10
    assert data.shapes == dict.fromkeys(NAMES, (28, 28, 3))
    # 6 images a class: one in ten rounds to one of six.
    assert data.record["sizes"] == {"train": 50, "validation": 10, "test": 30}
    assert polymnist.Settings().num_modalities == 5


def test_splits_share_no_image(data):
    parts = [
        {picture.tobytes() for picture in split.arrays["ink"]}
        for split in data.splits.values()
    ]
    assert [len(part) for part in parts] == [50, 10, 30]
    assert len(set.union(*parts)) == 90


def test_ink_is_brighter_than_128_and_tuples_are_of_one_class(prepared, data):
    images, labels = prepared[1]["mnist"]["test"]
    split = data.splits["test"]
    np.testing.assert_array_equal(split.arrays["ink"], images[..., 0] > 128)
    rows = split.arrays["pairing"]
    np.testing.assert_array_equal(labels[rows], np.stack([split.labels] * 3, axis=1))
    for column in rows.T:
        assert sorted(column) == list(range(30))


def test_pixels_are_background_off_the_ink_and_inverted_on_it(places, pictures):
    data = load("polymnist", backgrounds_dir=str(pictures), **places)
    assert data.name == "polymnist_rebuilt"
    split = data.splits["train"]
    batch = data.fetch(split.arrays, jnp.arange(8))
    for m, name in enumerate(f"m{m}" for m in range(5)):
        ink = split.arrays["ink"][split.arrays["pairing"][:8, m]]
        expected = np.where(ink, 255 - 40 * m, 40 * m)[..., None] / 255.0
        np.testing.assert_allclose(
            batch[name], np.repeat(expected, 3, -1), rtol=0, atol=1e-6
        )


def test_tuples_follow_index_only(data):
    split = data.splits["train"]
    indices = jnp.array([9, 2, 44])
    batch = data.fetch(split.arrays, indices)
    jitted = jax.jit(data.fetch)
    jax.tree.map(np.testing.assert_array_equal, batch, jitted(split.arrays, indices))
    turned = jitted(split.arrays, indices[::-1])
    np.testing.assert_array_equal(batch["m1"], turned["m1"][::-1])


def test_pairing_follows_the_seed_and_the_record_tells(data, places):
    again = load("polymnist", num_modalities=3, **places)
    other = load("polymnist", num_modalities=3, seed=1, **places)
    assert again.record == data.record
    ours, theirs = (d.record["checksums"] for d in (data, other))
    assert ours["test"]["images"] == theirs["test"]["images"]
    assert ours["test"]["pairing"] != theirs["test"]["pairing"]
    assert ours["backgrounds"] != theirs["backgrounds"]


def test_fresh_tuples_are_new_every_epoch_and_of_one_class(places, prepared):
    data = load(
        "polymnist", num_modalities=3, variant="fresh", fresh_epochs=4, **places
    )
    assert data.name == "polymnist_procedural_fresh"
    assert data.splits["train"].num_epochs == 4
    assert data.splits["validation"].num_epochs == 1
    split = data.splits["train"]
    assert split.size == 200 and split.labels.shape == (200,)
    # A picture of the background alone tells ink apart, so put a black one there.
    black = {name: np.zeros((28, 28, 3), np.uint8) for name in NAMES}
    arrays = {**split.arrays, "backgrounds": black}
    batch = jax.jit(data.fetch)(arrays, jnp.arange(200))
    label_of = dict(
        zip((p.tobytes() for p in arrays["ink"]), arrays["classes"], strict=True)
    )
    shown = np.stack([np.asarray(batch[name])[..., 0] > 0.5 for name in NAMES], axis=1)
    labels = [[label_of[view.tobytes()] for view in views] for views in shown]
    np.testing.assert_array_equal(labels, np.stack([split.labels] * 3, axis=1))
    epochs = shown.reshape(4, 50, -1)
    # Five images a class and three modalities: 1 in 125 tuples comes back by chance.
    assert (epochs[0] == epochs[1]).all(axis=-1).mean() < 0.1
    assert "pairing" in data.splits["test"].arrays


def test_too_few_backgrounds(places, pictures):
    with pytest.raises(ValueError, match="got 5 pictures in .*, expected at least 6"):
        load("polymnist", num_modalities=6, backgrounds_dir=str(pictures), **places)


def test_a_background_that_is_too_small(places, pictures):
    Image.fromarray(np.zeros((27, 40, 3), np.uint8)).save(pictures / "b.png")
    with pytest.raises(ValueError, match=r"b.png has 27 × 40 pixels, .* 28 × 28"):
        load("polymnist", backgrounds_dir=str(pictures), **places)


def test_no_such_folder(places):
    with pytest.raises(FileNotFoundError, match="backgrounds_dir`: .* is no folder"):
        load("polymnist", backgrounds_dir="/no/such/folder", **places)


def test_mnist_that_is_not_prepared(tmp_path):
    with pytest.raises(FileNotFoundError, match="jnf_jax.data.prepare mnist"):
        load("polymnist", data_dir=str(tmp_path))


def test_bad_settings_are_all_named():
    with pytest.raises(ValueError) as caught:
        load(
            "polymnist",
            variant="new",
            validation_fraction=0.9,
            official_dir="a",
            backgrounds_dir="b",
        )
    for line in (
        "`data.variant` is 'new', expected one of 'fixed', 'fresh'",
        "`data.validation_fraction` is 0.9, expected 0.001 to 0.5",
        "`data.backgrounds_dir` is 'b', expected '' with `official_dir`",
    ):
        assert line in str(caught.value)
    with pytest.raises(ValueError, match="whose tuples are published"):
        load("polymnist", variant="fresh", official_dir="a")


def test_translated_digits_are_whole_and_somewhere_else_in_every_modality(places):
    data = load("polymnist", num_modalities=3, scale=0.75, **places)
    assert data.name == "translated_polymnist_procedural"
    split = data.splits["train"]
    ink = split.arrays["ink"]
    assert ink.shape == (50, 21, 21)
    black = {name: np.zeros((28, 28, 3), np.uint8) for name in NAMES}
    arrays, indices = {**split.arrays, "backgrounds": black}, jnp.arange(50)
    fetch = jax.jit(data.fetch)
    views = fetch(arrays, indices)
    corners = np.zeros((50, 3, 2), int)
    for m, name in enumerate(NAMES):
        shown = np.asarray(views[name])[..., 0] > 0.5
        for row, (picture, digit) in enumerate(
            zip(shown, ink[split.arrays["pairing"][:, m]], strict=True)
        ):
            found = [
                (y, x)
                for y in range(8)
                for x in range(8)
                if (picture[y : y + 21, x : x + 21] == digit).all()
            ]
            assert found and picture.sum() == digit.sum()
            corners[row, m] = found[0]
    # Eight places each way, equally probable: a mean of 300 has standard error 0.13.
    assert corners.min() == 0 and corners.max() == 7
    assert abs(corners.mean() - 3.5) < 0.7
    # One pair of modalities in 64 agrees by chance.
    assert (corners[:, 0] == corners[:, 1]).all(axis=1).mean() < 0.15
    again = fetch(arrays, indices[::-1])
    np.testing.assert_array_equal(again["m1"], views["m1"][::-1])


def test_scale_is_checked_and_the_whole_size_is_polymnist(places, data):
    whole = load("polymnist", num_modalities=3, scale=1.0, **places)
    assert whole.record["checksums"] == data.record["checksums"]
    with pytest.raises(ValueError, match="`data.scale` is 1.5, expected"):
        load("polymnist", scale=1.5)
    told = "`data.scale` is 0.75, expected 1 with `official_dir`"
    with pytest.raises(ValueError, match=told):
        load("polymnist", scale=0.75, official_dir="a")
