"""Checksums, streams of random numbers, and the checking of settings."""

import dataclasses

import numpy as np
import pytest

from jnf_jax.data import dataset


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = 3
    share: float = 0.5
    folder_dir: str = ""

    def faults(self):
        return dataset.find_faults(self, {"count": dataset.between(1, 5)})


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


def test_all_faults_are_reported_at_once():
    with pytest.raises(ValueError) as caught:
        dataset.require(Settings(count=9, share="x"))
    assert str(caught.value).splitlines() == [
        "data.count: got 9, expected 1 to 5",
        "data.share: got 'x', expected type float",
    ]


@pytest.mark.parametrize("bad", [{"count": 2.0}, {"count": True}, {"folder_dir": None}])
def test_a_wrong_type_is_a_fault(bad):
    (line,) = Settings(**bad).faults()
    assert line.startswith(f"data.{next(iter(bad))}: got") and "expected type" in line


def test_good_settings_have_no_faults_and_an_integer_may_stand_for_a_float():
    assert Settings(share=1).faults() == []


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
