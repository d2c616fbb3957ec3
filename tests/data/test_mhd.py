"""MHD in the layout of its published files, on generated ones."""

import mhd_files
import numpy as np
import pytest

from jnf_jax.data import load, mhd


@pytest.fixture(scope="module")
def places(tmp_path_factory, torch_save):
    root = tmp_path_factory.mktemp("mhd")
    mhd_files.write(root, torch_save)
    return {"data_dir": str(root), "cache_dir": str(root / "cache")}


@pytest.fixture(scope="module")
def data(places):
    return load("mhd", validation_fraction=0.25, **places)


def test_sizes_and_shapes(data):
    assert data.record["sizes"] == {"train": 30, "validation": 10, "test": 20}
    assert data.shapes == {
        "audio": (32, 128, 1),
        "image": (28, 28, 3),
        "trajectory": (100, 2),
    }
    seen = [{x.tobytes() for x in s.arrays["image"]} for s in data.splits.values()]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 60


def test_the_views_of_a_tuple_are_of_one_digit(data):
    # Of digit k: row k % 28 of the picture, mel band k % 32, and x = k / 100.
    for split in data.splits.values():
        views = data.fetch(split.arrays, np.arange(split.size))
        image, audio, pen = (
            np.asarray(views[m]) for m in ("image", "audio", "trajectory")
        )
        number = np.rint(100 * pen[:, 0, 0]).astype(int)
        np.testing.assert_array_equal(split.labels, number % 10)
        down = np.linspace(0, 1, 100) + 0 * pen[..., 1]
        np.testing.assert_allclose(pen[..., 1], down, atol=1 / 255)
        np.testing.assert_array_equal(image[..., 1].sum(2).argmax(1), number % 28)
        np.testing.assert_array_equal(audio[..., 0].mean(2).argmax(1), number % 32)
        # Time runs along the rows, through all blocks: step t has t / 127.
        loudest = np.take_along_axis(audio[..., 0], number[:, None, None] % 32, 1)
        ramp = np.arange(128) / 127
        np.testing.assert_allclose(
            loudest[:, 0], ramp + 0 * loudest[:, 0], atol=1 / 255
        )


def test_ranges_are_of_training_and_recorded(data, places):
    # The files' trajectories end at -1.5 and 1.5, in training alone.
    low, high = data.record["ranges"]["trajectory"]
    assert (low, high) == (-1.5, 1.5)
    assert data.record["ranges"]["audio"] == [0.0, 1.0]
    again = load("mhd", validation_fraction=0.25, **places)
    assert again.record == data.record


def test_sounds_without_blocks(data, tmp_path, torch_save):
    mhd_files.write(tmp_path, torch_save, whole_sounds=True)
    whole = load(
        "mhd",
        validation_fraction=0.25,
        data_dir=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
    )
    assert whole.record["checksums"] == data.record["checksums"]


def test_trajectories_are_drawn(data):
    views = data.fetch(data.splits["test"].arrays, np.arange(3))
    drawings = mhd.draw(np.asarray(views["trajectory"]))
    # A vertical line at x = k / 100 of 84 pixels.
    columns = drawings[..., 0].sum(1).argmax(1)
    x = np.asarray(views["trajectory"])[:, 0, 0]
    np.testing.assert_allclose(columns, 84 * x, atol=2)


def _change(entries, number, value):
    return (*entries[:number], value, *entries[number + 1 :])


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        (
            0,
            np.arange(40, dtype=np.int64),
            "classes: row 10 is 10, expected a whole number",
        ),
        (1, np.zeros((40, 28, 28), np.float32), r"image: got shape \(40, 28, 28\)"),
        (1, np.full((40, 1, 28, 28), 2, np.float32), r"image: .*expected \[0, 1\]"),
        (2, np.zeros((40, 199), np.float32), r"trajectory: got shape \(40, 199\)"),
        (2, np.zeros((39, 200), np.float32), r"unequal numbers .*'trajectory': 39"),
        (3, np.zeros((40, 4, 32, 16), np.float32), "audio: got shape"),
        (3, {"max": 1.0}, "expected six, of which the first four are tensors"),
    ],
)
def test_files_of_another_layout(tmp_path, torch_save, number, value, message):
    entries = mhd_files.entries("train")
    torch_save(tmp_path / "mhd_train.pt", _change(entries, number, value))
    torch_save(tmp_path / "mhd_test.pt", mhd_files.entries("test"))
    with pytest.raises(ValueError, match=f"mhd_train.pt.*{message}"):
        load("mhd", data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache"))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="mhd_train.pt, mhd_test.pt"):
        load("mhd", data_dir=str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match="`data.data_dir` is '', expected a folder"
    ):
        load("mhd")
