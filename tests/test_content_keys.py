"""Content keys: whatever changes a number changes the key, and nothing else does."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jnf_jax import content_keys
from jnf_jax.content_keys import content_key, identity
from jnf_jax.data.dataset import (
    SPLITS,
    Dataset,
    Split,
    build_record,
    checksum,
    contents,
)
from jnf_jax.training.resume import check_identity

RNG = np.random.default_rng(0)
PIXELS = {split: RNG.integers(0, 256, (6, 4), np.uint8) for split in SPLITS}


@dataclasses.dataclass(frozen=True)
class Settings:
    """No setting."""


def make(**changes) -> Dataset:
    """Two views of four bytes, six rows a split; ``changes`` replace its parts."""
    parts = {
        "name": "toy",
        "pixels": PIXELS,
        "shapes": {"a": (4,), "b": (4,)},
        "labels": {split: np.arange(6, dtype=np.int32) % 3 for split in SPLITS},
        "num_classes": 3,
        "dtypes": {"a": "uint8", "b": "uint8"},
        "unbounded": (),
        "read_label": None,
    } | changes
    splits = {
        split: Split({"pixels": x}, len(x), parts["labels"][split])
        for split, x in parts["pixels"].items()
    }
    checksums = {split: checksum(x) for split, x in parts["pixels"].items()}
    record = build_record(Settings(), splits, checksums) | {"dtypes": parts["dtypes"]}
    return Dataset(
        name=parts["name"],
        shapes=parts["shapes"],
        splits=splits,
        fetch=lambda arrays, rows: {m: arrays["pixels"][rows] for m in "ab"},
        num_classes=parts["num_classes"],
        record=record,
        read_label=parts["read_label"],
        unbounded=parts["unbounded"],
    )


def changed(of, split, change):
    return of | {split: change(of[split])}


def keys(dataset) -> dict[str, str]:
    """Of what is kept about a data set: whom a change must reach."""
    trained = ("train", "validation")
    return {
        "stage": content_key(
            "stage", contents(dataset, splits=trained, with_labels=False)
        ),
        "classifiers": content_key("classifiers", contents(dataset, splits=trained)),
        "draws": content_key("draws", contents(dataset)),
    }


LABELS = {split: np.arange(6, dtype=np.int32) % 3 for split in SPLITS}
ALL = {"stage", "classifiers", "draws"}
JUDGES = ALL - {"stage"}


@pytest.mark.parametrize(
    ("changes", "reaches"),
    [
        ({"name": "other"}, ALL),
        ({"pixels": changed(PIXELS, "train", lambda x: x ^ 1)}, ALL),
        ({"pixels": changed(PIXELS, "validation", lambda x: x[::-1])}, ALL),
        ({"pixels": changed(PIXELS, "test", lambda x: x ^ 1)}, {"draws"}),
        ({"pixels": changed(PIXELS, "train", lambda x: x.reshape(6, 2, 2))}, ALL),
        ({"pixels": changed(PIXELS, "train", lambda x: x.view(np.int8))}, ALL),
        ({"shapes": {"a": (4,), "c": (4,)}}, ALL),
        ({"shapes": {"a": (2, 2), "b": (4,)}}, ALL),
        ({"dtypes": {"a": "uint8", "b": "float32"}}, ALL),
        ({"labels": changed(LABELS, "train", lambda y: (y + 1) % 3)}, JUDGES),
        ({"labels": changed(LABELS, "validation", lambda y: (y + 1) % 3)}, JUDGES),
        ({"labels": changed(LABELS, "test", lambda y: (y + 1) % 3)}, {"draws"}),
        ({"labels": changed(LABELS, "train", lambda y: y.astype(np.int64))}, JUDGES),
        ({"num_classes": 4}, JUDGES),
        ({"labels": dict.fromkeys(SPLITS), "num_classes": None}, JUDGES),
        ({"unbounded": ("a",)}, JUDGES),
        ({"read_label": lambda x: x[:, 0] > 0}, JUDGES),
    ],
)
def test_a_change_of_the_data_reaches_whoever_reads_it(changes, reaches):
    before, after = keys(make()), keys(make(**changes))
    assert {kind for kind in before if before[kind] != after[kind]} == reaches


@pytest.mark.parametrize("kind", content_keys.FORMATS)
def test_a_format_number_changes_its_kind_alone(monkeypatch, kind):
    before = {name: content_key(name, {"a": 1}) for name in content_keys.FORMATS}
    monkeypatch.setitem(content_keys.FORMATS, kind, content_keys.FORMATS[kind] + 1)
    after = {name: content_key(name, {"a": 1}) for name in content_keys.FORMATS}
    assert {name for name in after if after[name] != before[name]} == {kind}
    # Tuples are in the keys of all that is made of them.
    assert keys(make())["stage"] != content_key("stage", {}) != before["stage"]


def test_tuples_made_otherwise_are_other_tuples(monkeypatch):
    before = keys(make())
    monkeypatch.setitem(content_keys.FORMATS, "tuples", 9)
    assert all(keys(make())[kind] != before[kind] for kind in before)


@pytest.mark.parametrize(
    "other",
    [1.0, True, "1", None, [1], {"x": 1}, 2, -1],
)
def test_values_that_differ_have_different_keys(other):
    assert content_key("draws", {"a": other}) != content_key("draws", {"a": 1})


def test_equal_inputs_have_equal_keys_in_another_process():
    about = {"b": (1, 2.5, "ü"), "a": {"y": None, "x": True}}
    script = (
        "from jnf_jax.content_keys import content_key\n"
        "print(content_key('draws', {'a': {'x': True, 'y': None}, 'b': [1, 2.5, 'ü']}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == content_key("draws", about) == "01130d133cfb531b"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.arange(3), r"`about.x\[1\]` is array.*\(ndarray\), expected what JSON has"),
        (np.float32(1), r"`about.x\[1\]` is .*\(float32\)"),
        (float("nan"), r"`about.x\[1\]` is nan"),
        ({1: 2}, r"`about.x\[1\]` has the key 1, expected text"),
        (Settings(), r"\(Settings\)"),
        ({"a"}, r"\(set\)"),
    ],
)
def test_what_is_not_json_is_refused_not_printed(value, told):
    with pytest.raises(ValueError, match=told):
        content_key("draws", {"x": [0, value]})
    with pytest.raises(ValueError, match="`kind` is 'drawn', expected one of"):
        content_key("drawn", {})


def test_an_identity_is_what_json_gives_back():
    about = {"a": (1, (2, 3)), "b": {"c": None}}
    assert identity("stage", about) == json.loads(json.dumps(about))


def test_identities_of_before_shapes_were_in_them_still_fit():
    data = contents(make(), splits=("train",), with_labels=False)
    before = {"data": {"name": data["name"], "checksums": data["checksums"]}}
    for wrap in (lambda x: x, lambda x: {"config": x}):
        check_identity(Path("joint/1"), wrap(before), wrap({"data": data}))
        other = {"data": data | {"shapes": {"a": [4], "b": [2, 2]}}}
        with pytest.raises(ValueError, match=r"data.shapes.b: checkpoint \[4\], now"):
            check_identity(Path("joint/1"), wrap({"data": data}), wrap(other))
        before["data"]["checksums"] = {"train": "0"}
        with pytest.raises(ValueError, match=r"data.checksums.train"):
            check_identity(Path("joint/1"), wrap(before), wrap({"data": data}))
        before["data"]["checksums"] = data["checksums"]
