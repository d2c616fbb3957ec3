"""The published pictures, as tensors and as PNG files."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jnf_jax.data import load

SIZES = {"train": 40, "test": 20}
NAMES = ("m0", "m1")


def pictures(split, modality):
    rng = np.random.default_rng([SIZES[split], modality])
    return rng.integers(0, 256, (SIZES[split], 28, 28, 3), dtype=np.uint8)


def labels(split):
    return np.arange(SIZES[split]) % 10


@pytest.fixture
def as_tensors(tmp_path, torch_save):
    for split in SIZES:
        folder = tmp_path / "MMNIST" / split
        folder.mkdir(parents=True)
        torch_save(folder / "labels.pt", labels(split))
        for m, name in enumerate(NAMES):
            unit = pictures(split, m).transpose(0, 3, 1, 2).astype(np.float32) / 255
            torch_save(folder / f"{name}.pt", np.ascontiguousarray(unit))
    return tmp_path


@pytest.fixture
def as_files(tmp_path):
    for split in SIZES:
        for m, name in enumerate(NAMES):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            rows = zip(pictures(split, m), labels(split), strict=True)
            for index, (picture, digit) in enumerate(rows):
                Image.fromarray(picture).save(folder / f"{index}.{digit}.png")
    return tmp_path


def read(folder, num_modalities=2):
    return load(
        "polymnist",
        num_modalities=num_modalities,
        validation_fraction=0.25,
        official_dir=str(folder),
        cache_dir=str(folder / "cache"),
    )


def check_contents(data):
    assert data.name == "polymnist_official"
    # Four tuples a digit; validation takes a quarter.
    assert data.record["sizes"] == {"train": 30, "validation": 10, "test": 20}
    split = data.splits["test"]
    np.testing.assert_array_equal(split.labels, labels("test"))
    batch = data.fetch(split.arrays, jnp.array([19, 3]))
    for m, name in enumerate(NAMES):
        expected = pictures("test", m)[[19, 3]] / 255.0
        np.testing.assert_allclose(batch[name], expected, atol=1e-6)
    carved = [data.splits[name].arrays["m1"] for name in ("train", "validation")]
    everything = {picture.tobytes() for part in carved for picture in part}
    assert everything == {picture.tobytes() for picture in pictures("train", 1)}


def test_tensors_are_read_and_again_from_the_cache(as_tensors):
    check_contents(read(as_tensors))
    check_contents(read(as_tensors))
    assert len(list((as_tensors / "cache").iterdir())) == 2


def test_files_are_read_in_the_order_of_their_numbers(as_files):
    check_contents(read(as_files))


def test_both_forms_give_the_same_data(as_tensors, as_files):
    one = read(as_tensors / "MMNIST")
    (as_files / "MMNIST").rename(as_files / "other")
    two = read(as_files)
    assert one.record["checksums"] == two.record["checksums"]


def test_nan_is_named(as_tensors, torch_save):
    path = as_tensors / "MMNIST/train/m1.pt"
    bad = np.zeros((40, 3, 28, 28), np.float32)
    bad[3, 0, 0, :2] = np.nan
    torch_save(path, bad)
    with pytest.raises(ValueError, match=r"train/m1.pt: 2 values are NaN or infinite"):
        read(as_tensors)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((40, 28, 28, 3), np.uint8), r"got shape \(40, 28, 28, 3\), expected"),
        (np.zeros((39, 3, 28, 28), np.uint8), r"got shape \(39, 3, 28, 28\), expected"),
        (np.full((40, 3, 28, 28), 1.5, np.float32), r"got values in \[1.5, 1.5\]"),
        (np.zeros((40, 3, 28, 28), np.int64), "got dtype int64, expected uint8 or"),
    ],
)
def test_wrong_tensors_are_refused(as_tensors, torch_save, content, message):
    torch_save(as_tensors / "MMNIST/train/m0.pt", content)
    with pytest.raises(ValueError, match=message):
        read(as_tensors)


def test_wrong_labels_are_refused(as_tensors, torch_save):
    torch_save(as_tensors / "MMNIST/test/labels.pt", np.full(20, 10))
    with pytest.raises(ValueError, match="labels.pt: row 0 is 10, expected a whole"):
        read(as_tensors)


def test_tuples_that_do_not_match_are_refused(as_files):
    (as_files / "train/m1/7.7.png").rename(as_files / "train/m1/7.8.png")
    with pytest.raises(ValueError, match="m1: its 40 indices and digits do not match"):
        read(as_files)


def test_wrong_files_are_refused(as_files):
    Image.fromarray(np.zeros((28, 29, 3), np.uint8)).save(as_files / "test/m0/3.3.png")
    with pytest.raises(ValueError, match=r"3.3.png: got shape \(28, 29, 3\)"):
        read(as_files)
    (as_files / "test/m0/3.3.png").rename(as_files / "test/m0/three.png")
    with pytest.raises(ValueError, match="expected a name <index>.<digit>.png"):
        read(as_files)


def test_missing_parts_are_named(as_tensors):
    with pytest.raises(FileNotFoundError, match=r"lacks \['m2.pt'\]"):
        read(as_tensors, num_modalities=3)
    with pytest.raises(FileNotFoundError, match="`data.official_dir`: no .*train"):
        read(as_tensors / "cache")
