"""Tuples in array_record files: what is read is what was written, or an error."""

import json

import jax
import numpy as np
import pytest
import stored_tuples
from array_record.python.array_record_module import ArrayRecordWriter

from jnf_jax.data import drawings, load, record_files
from jnf_jax.data.dataset import Rows, indices_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(record_files, "FILE_BYTES", 500)  # about 20 rows
    return stored_tuples.write(tmp_path / "numbered")


def test_rows_come_back_in_any_order_across_files(folder):
    assert len(list(folder.glob("train-*.array_record"))) > 2
    data = record_files.open_dataset(folder)
    assert data.name == "numbered" and data.num_classes == 5
    assert data.shapes == stored_tuples.SHAPES
    assert data.record["sizes"] == stored_tuples.SIZES
    rng = np.random.default_rng(0)
    for name, size in stored_tuples.SIZES.items():
        split = data.splits[name]
        assert split.size == size
        np.testing.assert_array_equal(split.labels, np.arange(size) % 5)
        indices = rng.integers(0, size, 40)
        rows = split.rows(indices)
        assert isinstance(rows, Rows)
        np.testing.assert_array_equal(indices_of(rows), indices)
        expected = stored_tuples.pictures(indices)
        jax.tree.map(np.testing.assert_array_equal, rows.views, expected)
        views = jax.jit(data.fetch)(split.arrays, rows)
        for m, x in views.items():
            assert x.dtype == np.float32
            np.testing.assert_array_equal(
                x, expected[m].astype(np.float32) * np.float32(1 / 255)
            )


def test_checksums_are_those_of_the_tuples_whatever_the_files(folder, tmp_path):
    one = record_files.open_dataset(folder).record
    splits = {s: stored_tuples.parts(n, 7) for s, n in stored_tuples.SIZES.items()}
    other = stored_tuples.write(tmp_path / "other", splits=splits)
    assert record_files.open_dataset(other).record == one
    splits["test"] = stored_tuples.parts(11)
    splits |= {s: stored_tuples.parts(stored_tuples.SIZES[s]) for s in ("train",)}
    splits["validation"] = stored_tuples.parts(21)
    third = stored_tuples.write(tmp_path / "third", splits=splits)
    found = record_files.open_dataset(third).record["checksums"]
    assert [found[s] == one["checksums"][s] for s in found] == [True, True, False]


def test_without_labels(tmp_path):
    splits = {
        split: [(stored_tuples.pictures(np.arange(size)), None)]
        for split, size in stored_tuples.SIZES.items()
    }
    stored_tuples.write(tmp_path / "x", num_classes=None, splits=splits)
    data = record_files.open_dataset(tmp_path / "x")
    assert data.num_classes is None and data.splits["train"].labels is None


def floats(rows):
    """Of each kind of modality; the row number, and what float32 alone can hold."""
    x = np.asarray(rows, np.float32)[:, None] - np.float32(1 / 3)
    return {
        "vector": x * np.array([1, -1, 1e-30], np.float32),
        "sequence": np.tile(x[:, None], (1, 4, 2)),
        "share": np.tile(x[..., None, None] / 100, (1, 2, 2, 1)).clip(0, 1),
    }


def test_floats_come_back_as_they_were_beside_bytes(tmp_path):
    def parts(rows):
        views = floats(rows) | {"a": stored_tuples.pictures(rows)["a"]}
        return [(views, np.asarray(rows) % 5)]

    splits = {s: parts(range(n)) for s, n in stored_tuples.SIZES.items()}
    stored_tuples.write(tmp_path / "x", splits=splits)
    data = record_files.open_dataset(tmp_path / "x")
    assert data.shapes["vector"] == (3,) and data.shapes["sequence"] == (4, 2)
    rows = np.array([69, 0, 5])
    views = data.fetch({}, data.splits["train"].rows(rows))
    for m, x in floats(rows).items():
        assert views[m].dtype == np.float32
        np.testing.assert_array_equal(views[m], x)
    assert 0 < views["a"].max() <= 1
    # What is no picture has one of its own; what is none of [0, 1] is never clipped.
    assert data.unbounded == ("sequence", "vector")
    assert sorted(data.presentations) == ["sequence", "vector"]
    clipped = data.clip({"vector": np.full(3, -2.0), "share": np.full(3, -2.0)})
    assert clipped["vector"][0] == -2 and clipped["share"][0] == 0
    vectors = np.asarray(views["vector"])
    drawn = data.presentations["vector"].picture(vectors)
    end = float(np.float32(69) - np.float32(1 / 3))
    expected = drawings.draw(vectors, low=-end, high=end)
    np.testing.assert_array_equal(drawn, expected)


def test_other_numbers_are_stored_as_float32_and_rows_counted_from_the_start(tmp_path):
    views = {
        "depth": np.full((3, 2, 2, 1), 60_000, np.uint16),
        "far": np.full((3, 2), 1 / 3),  # float64
        "one": np.arange(3),
    }
    splits = {s: [(views, None)] for s in stored_tuples.SIZES}
    stored_tuples.write(tmp_path / "x", num_classes=None, splits=splits)
    data = record_files.open_dataset(tmp_path / "x")
    assert data.shapes == {"depth": (2, 2, 1), "far": (2,), "one": (1,)}
    read = data.fetch({}, data.splits["train"].rows(np.arange(3)))
    for m, x in views.items():
        assert read[m].dtype == np.float32
        np.testing.assert_array_equal(np.ravel(read[m]), np.ravel(np.float32(x)))
    bad = {**views, "one": np.array([0, np.inf, np.nan])}
    splits["train"] = [(views, None), (bad, None)]
    with pytest.raises(ValueError, match="`train.one` .* the first, inf, in row 4:"):
        stored_tuples.write(tmp_path / "y", num_classes=None, splits=splits)


def test_a_row_that_became_not_finite_is_named_when_it_is_read(tmp_path):
    splits = {s: [({"a": np.full((9, 2), 0.25)}, None)] for s in stored_tuples.SIZES}
    folder = stored_tuples.write(tmp_path / "x", num_classes=None, splits=splits)
    rows = np.full((9, 2), 0.25, np.float32)
    rows[4, 1] = np.nan
    path = folder / "train-00000.array_record"
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for row in rows:
        writer.write(row.tobytes())
    writer.close()
    read = record_files.open_dataset(folder).splits["train"].read
    assert np.isfinite(read(np.arange(4)).views["a"]).all()
    told = "row 4 of split 'train' has values of 'a' that are not finite"
    with pytest.raises(ValueError, match=told):
        read(np.arange(9))


def test_the_range_of_floats_is_that_of_all_splits(tmp_path):
    def parts(highest):
        return [({"a": np.full((3, 2), highest, np.float32)}, np.arange(3))]

    highest = {"train": 0.5, "validation": 0.5, "test": 1.5}
    splits = {split: parts(x) for split, x in highest.items()}
    stored_tuples.write(tmp_path / "x", splits=splits)
    assert record_files.open_dataset(tmp_path / "x").unbounded == ("a",)


def test_a_set_without_floats_is_read_as_before_there_were_any(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("floats") == {}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    data = record_files.open_dataset(folder)
    views = data.fetch({}, data.splits["train"].rows(np.arange(3)))
    expected = stored_tuples.pictures(range(3))["a"] * np.float32(1 / 255)
    np.testing.assert_array_equal(views["a"], expected)
    assert not data.unbounded and not data.presentations


def test_a_set_is_written_once_and_whole(folder, tmp_path):
    with pytest.raises(FileExistsError, match="numbered exists"):
        stored_tuples.write(folder)

    def stops():
        yield stored_tuples.part(np.arange(5))
        raise KeyboardInterrupt

    splits = {s: stored_tuples.parts(n) for s, n in stored_tuples.SIZES.items()}
    with pytest.raises(KeyboardInterrupt):
        stored_tuples.write(tmp_path / "half", splits={**splits, "validation": stops()})
    assert not (tmp_path / "half").exists()
    stored_tuples.write(tmp_path / "half")  # what was left is no hindrance
    assert record_files.open_dataset(tmp_path / "half").splits["train"].size == 70


def test_a_set_of_ones_own_is_opened_by_its_folder(folder, tmp_path):
    data = load("records", records_dir=str(folder))
    assert data.name == "numbered" and data.splits["train"].size == 70
    with pytest.raises(ValueError, match="`data.records_dir` is ''"):
        load("records")
    with pytest.raises(FileNotFoundError, match="nowhere holds no manifest"):
        load("records", records_dir=str(tmp_path / "nowhere"))


def test_a_missing_or_truncated_file_is_named(folder):
    victim = folder / "train-00001.array_record"
    content = victim.read_bytes()
    victim.write_bytes(content[:-100])
    message = f"{victim.name} has {len(content) - 100} bytes, expected {len(content)}"
    with pytest.raises(ValueError, match=message):
        record_files.open_dataset(folder)
    victim.unlink()
    with pytest.raises(ValueError, match=f"{victim.name} is missing"):
        record_files.open_dataset(folder)


def test_a_flipped_bit_is_an_error_when_its_row_is_read(tmp_path):
    folder = stored_tuples.write(tmp_path / "numbered")
    victim = folder / "train-00000.array_record"
    content = bytearray(victim.read_bytes())
    pixels = stored_tuples.pictures([30])["a"].tobytes()
    content[content.index(pixels) + 5] ^= 0b100
    victim.write_bytes(content)
    read = record_files.open_dataset(folder).splits["train"].read
    np.testing.assert_array_equal(read(np.arange(20)).views["a"][:, 0, 0, 0], range(20))
    with pytest.raises(ValueError, match="numbered: a row of split 'train' is damaged"):
        read(np.arange(70))


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.where(np.arange(70) == 12, 7, 0), "row 12 is 7, expected a whole"),
        (np.full(70, -1), "row 0 is -1, expected a whole number from 0 to 4"),
        (np.zeros(69, np.int32), r"got int32\[69\], expected integers \[70\]"),
    ],
)
def test_labels_that_were_edited_are_read_if_they_are_classes(folder, labels, told):
    """Of the same size in bytes, as an editor of labels leaves them."""
    path = folder / "train-labels.npy"
    manifest = json.loads((folder / "manifest.json").read_text())

    def edit(labels):
        np.save(path, labels)
        manifest["splits"]["train"]["files"][path.name] = path.stat().st_size
        (folder / "manifest.json").write_text(json.dumps(manifest))

    edit(np.zeros(70, np.int32))
    assert not record_files.open_dataset(folder).splits["train"].labels.any()
    edit(labels)
    with pytest.raises(ValueError, match=f"train-labels.npy: {told}"):
        record_files.open_dataset(folder)


def test_manifest_and_files_must_agree(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["splits"]["test"]["size"] = 11
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="'test' has 10 rows, expected 11"):
        record_files.open_dataset(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(ValueError, match="got format 2, expected 1"):
        record_files.open_dataset(folder)


def _with_train(*train):
    sizes = stored_tuples.SIZES
    return {
        "splits": {s: stored_tuples.parts(sizes[s]) for s in sizes} | {"train": train}
    }


PICTURES, LABELS = stored_tuples.part(np.arange(6))
FLOATS = {m: np.maximum(x.astype(np.float32), 1) for m, x in PICTURES.items()}
FLOATS["a"][3, 0, 0, 0] = 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"train": []}}, r"`splits` is \['train'\], expected \['test', "),
        (_with_train(), "'train' has no tuples"),
        (_with_train(({}, LABELS)), "got views {}"),
        (
            _with_train((PICTURES, LABELS), ({"a": PICTURES["a"]}, LABELS)),
            "the same as",
        ),
        (
            _with_train(({"a": np.array([[1.0], [None]] * 3)}, LABELS)),
            "`train.a` has dtype object, expected numbers: row 1 has None",
        ),
        (
            _with_train(({"a": np.arange(2**24, 2**24 + 6)}, LABELS)),
            "`train.a` has 3 integers that float32 .*, 16777217, in row 1: expected",
        ),
        (
            _with_train(({"a": PICTURES["a"][..., None]}, LABELS)),
            "height, width, channel",
        ),
        (
            _with_train((PICTURES, LABELS), (FLOATS, LABELS)),
            r"'a': \(\(6, 3, 4, 1\), 'float32'\).*the same as the first",
        ),
        (
            _with_train(
                (
                    FLOATS | {"a": np.where(FLOATS["a"] > 0, 1, np.float32(np.nan))},
                    LABELS,
                )
            ),
            "`train.a` has 1 values that are NaN, .* the first, nan, in row 3:",
        ),
        (
            _with_train((PICTURES, None)),
            "labels go with num_classes, which is 5; got n",
        ),
        ({"num_classes": None}, "labels go with num_classes, which is None; got some"),
        (
            _with_train((PICTURES, LABELS[:5])),
            r"'train': labels: got int32\[5\], expected integers \[6\]",
        ),
        (
            _with_train((PICTURES, LABELS + 1)),
            "'train': labels: row 4 is 5, expected a whole number from 0 to 4",
        ),
        (
            _with_train((PICTURES, np.array([0, 1, 0.2, 0.9, 1.7, 2.9]))),
            "labels: row 2 is 0.2, expected a whole number from 0 to 4",
        ),
        (
            _with_train((PICTURES, np.array([0, 2**32 + 1, 0, 0, 0, 0]))),
            "labels: row 1 is 4294967297, expected a whole number from 0 to 4",
        ),
        (
            _with_train((PICTURES, LABELS > 2)),
            r"labels: got bool\[6\], expected integers \[6\]",
        ),
    ],
)
def test_what_cannot_be_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        stored_tuples.write(tmp_path / "x", **changes)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"a": np.ones(3, bool)},
            r"`present` is .*, expected bool\[3\] of \['a', 'b'\]",
        ),
        ({"a": np.ones(3, int), "b": np.ones(3, bool)}, "`present` is .*expected bool"),
        ({"a": np.arange(3) > 1, "b": np.arange(3) > 0}, "row 0 has no view at all"),
        (
            {"a": np.zeros(3, bool), "b": np.ones(3, bool)},
            r"modalities \['a'\] are present in no tuple, expected some",
        ),
    ],
)
def test_masks_that_are_refused(changes, told, tmp_path):
    floats = {m: np.ones((3, 2), np.float32) for m in "ab"}
    splits = dict.fromkeys(
        ("train", "validation", "test"), [record_files.Part(floats, None, changes)]
    )
    with pytest.raises(ValueError, match=told):
        record_files.write(tmp_path / "x", name="x", num_classes=None, splits=splits)
    assert not list(tmp_path.iterdir())
