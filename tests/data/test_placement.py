"""On the device or in files: the same tuples, chosen by size, or by the config."""

import dataclasses
import threading

import jax
import numpy as np
import pytest
import stored_tuples

from jnf_jax.data import load, placement, record_files
from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.data.placement import num_bytes, place
from jnf_jax.data.rendering import fetch_stored

RENDERED = load("circles_squares", num_train=70, num_validation=21, num_test=10)


def on_device():
    """The numbered tuples as arrays."""
    splits = {name: Split(*_arrays(size)) for name, size in stored_tuples.SIZES.items()}
    record = {"sizes": dict(stored_tuples.SIZES), "checksums": {"all": "0"}}
    return Dataset("numbered", stored_tuples.SHAPES, splits, fetch_stored, 5, record)


def _arrays(size):
    pictures, labels = stored_tuples.part(np.arange(size))
    return pictures, size, labels


def assert_same_tuples(one, other):
    for name, split in one.splits.items():
        rows, again = np.arange(split.size), other.splits[name]
        assert again.size == split.size
        np.testing.assert_array_equal(again.labels, split.labels)
        jax.tree.map(
            np.testing.assert_array_equal,
            one.fetch(split.arrays, split.rows(rows)),
            other.fetch(again.arrays, again.rows(rows)),
        )


def test_rendered_tuples_are_the_same_in_files_and_back_on_the_device(tmp_path):
    streamed = place(RENDERED, "stream", tmp_path)
    assert all(split.read is not None for split in streamed.splits.values())
    assert streamed.record is RENDERED.record  # runs do not tell them apart
    assert_same_tuples(RENDERED, streamed)
    whole = place(streamed, "device", tmp_path)
    assert all(split.read is None for split in whole.splits.values())
    assert_same_tuples(RENDERED, whole)


def test_files_are_written_once_whoever_comes_first(tmp_path, monkeypatch):
    written, write = [], record_files.write

    def counted(folder, **options):
        written.append(folder)
        write(folder, **options)

    monkeypatch.setattr(record_files, "write", counted)
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(place(on_device(), "stream", tmp_path))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1 and len(found) == 3
    assert_same_tuples(on_device(), found[2])


def test_size_decides_unless_the_config_does(tmp_path, monkeypatch):
    data = on_device()
    size = sum(stored_tuples.SIZES.values()) * (12 + 12)
    assert num_bytes(data) == size
    streamed = place(data, "stream", tmp_path)
    assert num_bytes(streamed) == size
    for limit, in_files in ((size, False), (size - 1, True)):
        monkeypatch.setattr(placement, "MAX_ON_DEVICE", limit)
        for given in (data, streamed):
            placed = place(given, "auto", tmp_path)
            assert (placed.splits["test"].read is not None) == in_files
    assert place(data, "device", tmp_path) is data
    assert place(streamed, "stream", tmp_path) is streamed


def test_files_of_other_pictures_are_refused(tmp_path):
    data = on_device()
    place(data, "stream", tmp_path)
    data.splits["train"].arrays["b"][5] += 1  # as if the renderer had changed
    with pytest.raises(ValueError, match="holds other tuples than 'numbered' has now"):
        place(data, "stream", tmp_path)


def test_what_cannot_be_streamed(tmp_path):
    data = on_device()
    with pytest.raises(ValueError, match="`data.placement` is 'disk', expected one of"):
        place(data, "disk", tmp_path)
    fresh = dataclasses.replace(data.splits["train"], num_epochs=2)
    splits = {**data.splits, "train": fresh}
    with pytest.raises(ValueError, match=r"drawn afresh every epoch in \['train'\]"):
        place(dataclasses.replace(data, splits=splits), "stream", tmp_path)

    def some(arrays, rows):
        """Bytes / 255 in the training split alone."""
        views = fetch_stored(arrays, rows)
        is_train = arrays["a"].shape[0] == stored_tuples.SIZES["train"]
        return jax.tree.map(lambda x: x if is_train else x / 2, views)

    with pytest.raises(ValueError, match=r"some of \['a', 'b'\] is bytes / 255"):
        place(dataclasses.replace(data, fetch=some), "stream", tmp_path)
    assert not list(tmp_path.glob("records/*/manifest.json"))


def test_what_is_not_bytes_is_streamed_as_floats(tmp_path):
    def doubled(arrays, rows):
        views = fetch_stored(arrays, rows)
        return views | {"a": 2 * views["a"]}

    data = dataclasses.replace(on_device(), fetch=doubled)
    streamed = place(data, "stream", tmp_path)
    assert_same_tuples(data, streamed)
    assert num_bytes(streamed) == sum(stored_tuples.SIZES.values()) * (4 * 12 + 12)
    assert_same_tuples(data, place(streamed, "device", tmp_path))
