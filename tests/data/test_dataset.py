"""Checksums, streams of random numbers, and what a record says of settings."""

import dataclasses

import numpy as np

from jnf_jax.data import dataset


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = 3
    share: float = 0.5
    folder_dir: str = ""


def test_checksum_depends_on_bytes_shape_and_dtype_but_not_on_layout():
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    same = np.asfortranarray(array)
    assert dataset.checksum(array) == dataset.checksum(same)
    others = [array + 1, array.reshape(3, 2), array.astype(np.uint32)]
    assert len({dataset.checksum(a) for a in (array, *others)}) == 4
    assert len(dataset.checksum(np.zeros((0, 2)))) == 64


def test_each_purpose_has_its_own_stream():
    draws = [
        tuple(dataset.generator(*purpose).integers(0, 2**32, 4))
        for purpose in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1), (0, "a")]
    ]
    assert draws[0] == draws[4]
    assert len(set(draws)) == 4


def test_the_record_leaves_folders_out():
    split = dataset.Split({}, 7, None)
    record = dataset.build_record(
        Settings(folder_dir="/x"), {"train": split}, {"a": "b"}
    )
    assert record == {
        "settings": {"count": 3, "share": 0.5},
        "sizes": {"train": 7},
        "checksums": {"a": "b"},
    }
