"""Handwriting, its strokes and speech: true pairs, speakers apart, files that fit."""

import shutil

import handwriting_files
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.data import load, placement

pytest.importorskip("librosa")

SETTINGS = dict(
    validation_speaker="ben", test_speaker="carla", validation_fraction=0.25
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return handwriting_files.write(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def data(files, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return load("handwriting", data_dir=str(files), cache_dir=cache, **SETTINGS)


def test_sizes_shapes_and_every_digit_once(data):
    assert data.record["sizes"] == {"train": 60, "validation": 20, "test": 20}
    views = data.fetch(data.splits["train"].arrays, jnp.arange(60))
    assert {m: x.shape[1:] for m, x in views.items()} == data.shapes
    rows = data.splits["train"].arrays["pairing"]
    assert sorted(rows[:, 0]) == list(range(60))


def test_a_picture_and_its_trajectory_are_one_digit(data):
    # The files' digit k is one stroke in row k % 28, and its picture that row.
    for split in data.splits.values():
        views = data.fetch(split.arrays, jnp.arange(split.size))
        row = np.asarray(views["image"])[..., 0].sum(2).argmax(1)
        place = np.asarray(views["trajectory"])[:, :, 1]
        np.testing.assert_allclose(place * 28, np.repeat(row[:, None], 64, 1), atol=0.1)


def test_no_speaker_and_no_picture_in_two_splits(data):
    for name in ("speech", "image"):
        parts = [
            {x.tobytes() for x in split.arrays[name]} for split in data.splits.values()
        ]
        assert len(set.union(*parts)) == sum(map(len, parts))


def test_speech_is_of_the_class(data):
    # The clip of class c and speaker s is a tone of 300 c + 300 Hz.
    for split in data.splits.values():
        views = data.fetch(split.arrays, jnp.arange(split.size))
        band = np.asarray(views["speech"])[:, :, 5, 0].argmax(1)
        means = [band[split.labels == c].mean() for c in range(10)]
        assert (np.diff(means) < 0).all()  # higher tones nearer the top


def _copy_with(root, tmp_path, name, **arrays):
    """The folder of files, with other arrays in one of them."""
    folder = tmp_path / "files"
    shutil.copytree(root, folder)
    with np.load(folder / name) as file:
        stored = dict(file)
    np.savez(folder / name, **(stored | arrays))
    return str(folder)


@pytest.mark.parametrize(
    ("name", "arrays", "message"),
    [
        (
            "mnist_strokes.npz",
            {"seq_train": np.zeros((79, 3, 4), np.int8)},
            "train: unequal numbers of rows.*'strokes': 79",
        ),
        ("mnist_strokes.npz", {"y_test": np.full(20, 3)}, "are not MNIST's"),
        ("fsdd_wave.npz", {"y": np.zeros(29, np.uint8)}, "unequal numbers .*'y': 29"),
    ],
)
def test_files_that_do_not_fit(files, tmp_path, name, arrays, message):
    folder = _copy_with(files, tmp_path, name, **arrays)
    with pytest.raises(ValueError, match=message):
        load("handwriting", data_dir=folder, cache_dir=str(tmp_path), **SETTINGS)


def test_missing_files_are_all_named(tmp_path):
    (tmp_path / "mnist_strokes.npz").touch()
    with pytest.raises(FileNotFoundError, match="t10k-labels.*fsdd_wave") as caught:
        load("handwriting", data_dir=str(tmp_path))
    assert "mnist_strokes.npz" not in str(caught.value)
    with pytest.raises(
        FileNotFoundError, match="`data.data_dir` is '', expected a folder"
    ):
        load("handwriting")


def test_speakers_must_be_known_and_two(files, tmp_path):
    with pytest.raises(ValueError, match="is 'nicolas', expected one of .*'ann'"):
        load("handwriting", data_dir=str(files), cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match="is 'theo', expected another"):
        load("handwriting", validation_speaker="theo", test_speaker="theo")


def test_sequences_are_the_same_from_files(data, tmp_path):
    streamed = placement.place(data, "stream", tmp_path)
    rows = np.arange(7, dtype=np.int32)
    views = streamed.fetch({}, streamed.splits["test"].rows(rows))
    expected = data.fetch(data.splits["test"].arrays, rows)
    for name in data.shapes:
        np.testing.assert_array_equal(views[name], expected[name])
