"""Tuples in array_record files: written once, then read by their row number.

One folder a data set, which appears whole or not at all::

    train-00000.array_record, …   a record a tuple: the bytes of its views, by name
    train-labels.npy              i32[N], where the set has classes
    train-present.npy             bool[N, M], where some tuples lack views
    manifest.json                 shapes, sizes of splits and files, SHA-256

A set of your own, from an iterator of its parts, b tuples at a time, is then
``data.name="records"``, and ``--config own/jnf:runs/mine`` (configs/own/jnf.py)::

    def parts():  # u8[b, 32, 32, 3], f32[b, 40] and f32[b, 100, 6], i32[b]
        yield {"photo": photos, "assay": assays, "track": tracks}, labels

    write(folder, name="mine", num_classes=7, splits={"train": parts(), …})

Bytes are read as x / 255, floats as they are: bring these to a scale of about one.

Opening compares files and manifest; reading a row verifies the checksum that
array_record keeps of it, so a bit that flipped is an error and never a picture.
"""

import functools
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.data import dataset, heat_map
from jnf_jax.data.dataset import SPLITS, Dataset, Rows, Scaling, Split
from jnf_jax.data.rendering import fetch_stored
from jnf_jax.names import check_names
from jnf_jax.runtime.files import user_path

FORMAT = 1
FILE_BYTES = 2**30
"""A file is closed once it is larger than this."""


class Part(NamedTuple):
    """Some consecutive tuples; a plain tuple is read as one.

    Attributes:
      views: {modality: u8 or f32[b, *shape]}; whatever stands where a tuple lacks the
        view is written as zeros.
      labels: i32[b], or None.
      present: {modality: bool[b]}, which views each tuple has; None: all of them.
    """

    views: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    present: Mapping[str, np.ndarray] | None = None


DTYPES = ("uint8", "float32")


def write(
    folder: str | Path,
    *,
    name: str,
    num_classes: int | None,
    splits: Mapping[str, Iterable[tuple]],
    about: Mapping[str, Any] | None = None,
) -> None:
    """Writes a data set; no more than one part of it is in memory at a time.

    Where that fails nothing is left.

    Args:
      folder: must not exist yet.
      name: results will call the set so.
      num_classes: of the labels; None without labels.
      splits: "train", "validation" and "test": each its parts, `Part`, of any size.
      about: more that the manifest is to hold, as `own.write` has it.

    Raises:
      FileExistsError: ``folder`` is there.
      ValueError: other names of splits; a split without tuples; a name of a view that
        `check_names` refuses; views that are not u8 or f32[b, height, width, channel]
        (sequences: [b, tokens, channel], vectors: [b, features]), differ in names,
        shapes or types from the first, or are not finite where they are present; a
        tuple that has no view; labels that are missing, superfluous, or not in 0, …,
        ``num_classes`` − 1.
    """
    folder = user_path(folder, "folder")
    if folder.exists():
        raise FileExistsError(f"{folder} exists: remove it, or write to another folder")
    if set(splits) != set(SPLITS):
        raise ValueError(f"`splits` is {sorted(splits)}, expected {sorted(SPLITS)}")
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.exists():  # left by a process that was killed
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        found = _write_splits(partial, num_classes, splits)
        manifest = {"format": FORMAT, "name": name} | dict(about or {}) | found
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=1))
        partial.rename(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)


def _write_splits(
    folder: Path, num_classes: int | None, splits: Mapping[str, Iterable[tuple]]
) -> dict[str, Any]:
    """Writes the files of all splits; returns what the manifest says of them."""
    entries, ranges, row_type = {}, {}, None
    for split in SPLITS:
        parts = iter(splits[split])
        if (first := next(parts, None)) is None:
            raise ValueError(f"split {split!r} has no tuples")
        if row_type is None:
            check_names(first[0], f"split {split!r}")
            row_type = _row_type(first[0])
        tables = (
            _table(split, Part(*part), row_type, num_classes, ranges)
            for part in itertools.chain([first], parts)
        )
        entries[split] = _write_split(folder, split, tables)
    if absent := [m for m, (low, high) in ranges.items() if low > high]:
        raise ValueError(f"modalities {absent} are present in no tuple, expected some")
    return {
        "num_classes": num_classes,
        "splits": entries,
        "shapes": {m: row_type[m].shape for m in row_type.names},
        "floats": ranges,
    }


def _row_type(views: Mapping[str, np.ndarray]) -> np.dtype:
    """The type of one tuple: its views in the order of their names, end to end."""
    return np.dtype([(m, x.dtype, x.shape[1:]) for m, x in sorted(views.items())])


def _table(
    split: str,
    part: Part,
    row_type: np.dtype,
    num_classes: int | None,
    ranges: dict[str, list[float]],
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Tuples as an array of ``row_type``, their labels, and bool[b, M] of what they
    have; ValueError if unfit.

    ``ranges`` widens to the least and the largest value of each modality of floats.
    """
    views, labels, present = part
    size, sizes = len(next(iter(views.values()), ())), {len(x) for x in views.values()}
    kinds = [row_type[m] for m in row_type.names]
    is_known = all(len(k.shape) in (1, 2, 3) and str(k.base) in DTYPES for k in kinds)
    if _row_type(views) != row_type or sizes != {size} or not size or not is_known:
        got = {m: (x.shape, str(x.dtype)) for m, x in sorted(views.items())}
        raise ValueError(
            f"split {split!r}: got views {got}, expected uint8 or float32 of shapes "
            f"[{size or 'b'}, height, width, channel], [{size or 'b'}, tokens, "
            f"channel] or [{size or 'b'}, features], the same as the first: {row_type}"
        )
    if (labels is None) != (num_classes is None):
        raise ValueError(
            f"split {split!r}: labels go with num_classes, which is {num_classes}; got "
            f"{'none' if labels is None else 'some'}"
        )
    if labels is not None:
        where = f"split {split!r}: labels"
        labels = dataset.check_labels(
            labels, size=size, num_classes=num_classes, where=where
        )
    has = _presence(split, present, sorted(views), size)
    table = np.zeros(size, row_type)
    for m, of_row in zip(sorted(views), has.T, strict=True):
        x = views[m][of_row]
        if not np.isfinite(x).all():
            raise ValueError(
                f"split {split!r}: modality {m!r} has {np.sum(~np.isfinite(x))} values "
                "that are not finite, expected none"
            )
        if x.dtype == np.float32:
            low, high = ranges.get(m, (np.inf, -np.inf))
            least, most = x.min(initial=np.inf), x.max(initial=-np.inf)
            ranges[m] = [min(low, float(least)), max(high, float(most))]
        table[m][of_row] = x
    return table, labels, has


def _presence(
    split: str, present: Mapping[str, np.ndarray] | None, names: list[str], size: int
) -> np.ndarray:
    """Which views each tuple has, bool[b, M] in the order of ``names``."""
    if present is None:
        return np.ones((size, len(names)), bool)
    shapes = {m: (x.dtype.str, x.shape) for m, x in sorted(present.items())}
    if shapes != dict.fromkeys(names, ("|b1", (size,))):
        raise ValueError(
            f"split {split!r}: `present` is {shapes}, expected bool[{size}] of {names}"
        )
    has = np.stack([present[m] for m in names], axis=-1)
    if not has.any(axis=-1).all():
        row = int(np.argmin(has.any(axis=-1)))
        raise ValueError(f"split {split!r}: row {row} of a part has no view at all")
    return has


def _write_split(
    folder: Path,
    split: str,
    parts: Iterable[tuple[np.ndarray, np.ndarray | None, np.ndarray]],
) -> dict[str, Any]:
    """Writes the files of a split; returns its entry of the manifest."""
    from array_record.python.array_record_module import ArrayRecordWriter

    digest, labels, present, paths, size = hashlib.sha256(), [], [], [], 0
    writer, written = None, 0
    for table, of_part, has in parts:
        labels += [] if of_part is None else [of_part]
        present.append(has)
        size += len(table)
        digest.update(table.view(np.uint8))
        for row in table:
            if writer is None:
                paths.append(folder / f"{split}-{len(paths):05d}.array_record")
                # A row alone is a chunk: random access reads nothing else.
                writer = ArrayRecordWriter(str(paths[-1]), "group_size:1,uncompressed")
            writer.write(row.tobytes())
            written += row.nbytes
            if written > FILE_BYTES:
                writer.close()
                writer, written = None, 0
    if writer is not None:
        writer.close()
    if labels:
        paths.append(folder / f"{split}-labels.npy")
        np.save(paths[-1], np.concatenate(labels))
    present = np.concatenate(present)
    if not present.all():
        paths.append(folder / f"{split}-present.npy")
        np.save(paths[-1], present)
        digest.update(present.view(np.uint8))
    files = {path.name: path.stat().st_size for path in paths}
    return {"size": size, "sha256": digest.hexdigest(), "files": files}


def open_dataset(folder: str | Path) -> Dataset:
    """A data set whose tuples stay in their files: every split has a ``read``.

    Raises:
      FileNotFoundError: no such folder, or no manifest in it.
      ValueError: another format; a file is missing, has another size than was written,
        or other than the written number of rows; labels that are no classes, by file
        and row.
    """
    folder = user_path(folder, "folder")
    if not (folder / "manifest.json").exists():
        raise FileNotFoundError(
            f"{folder} holds no manifest.json: expected a folder that "
            "jnf_jax.data.record_files.write wrote to its end"
        )
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["format"] != FORMAT:
        raise ValueError(
            f"{folder}: got format {manifest['format']}, expected {FORMAT}"
        )
    ranges = manifest.get("floats", {})  # written before there were floats: none
    shapes = {m: tuple(shape) for m, shape in manifest["shapes"].items()}
    dtypes = {m: "float32" if m in ranges else "uint8" for m in shapes}
    row_type = np.dtype([(m, dtypes[m], shape) for m, shape in shapes.items()])
    unbounded = [m for m, (low, high) in ranges.items() if low < 0 or high > 1]
    told, num_classes = manifest["splits"], manifest["num_classes"]
    return Dataset(
        name=manifest["name"],
        shapes=shapes,
        splits={
            name: _open_split(folder, name, told[name], row_type, num_classes)
            for name in told
        },
        fetch=fetch_stored,
        num_classes=num_classes,
        record={
            "settings": {},
            "dtypes": dtypes,
            "sizes": {split: told[split]["size"] for split in told},
            "checksums": {split: told[split]["sha256"] for split in told},
        },
        presentations={
            m: dataset.Presentation(
                functools.partial(heat_map.draw, low=low, high=high)
            )
            for m, shape in shapes.items()
            for low, high in [ranges.get(m, (0.0, 1.0))]
            if m in unbounded or not dataset.has_picture_shape(shape)
        },
        unbounded=tuple(sorted(unbounded)),
        scaling=scaling_of(manifest),
    )


def scaling_of(manifest: Mapping[str, Any]) -> dict[str, Scaling]:
    """{modality: how it was standardised}, as a manifest tells it."""
    return {
        m: Scaling(*(np.asarray(told[name], np.float32) for name in Scaling._fields))
        for m, told in manifest.get("scaling", {}).items()
    }


def _open_split(
    folder: Path,
    split: str,
    told: dict[str, Any],
    row_type: np.dtype,
    num_classes: int | None,
) -> Split:
    # Not at the top: grain takes a second to import, which most runs need not spend.
    import grain

    for name, size in told["files"].items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        if found != size:
            raise ValueError(
                f"{path} {'is missing' if found is None else f'has {found} bytes'}, "
                f"expected {size} bytes: {folder} must be written again"
            )
    names = sorted(name for name in told["files"] if name.endswith(".array_record"))
    source = grain.sources.ArrayRecordDataSource([str(folder / n) for n in names])
    size, labels = told["size"], None
    if len(source) != size:
        raise ValueError(
            f"{folder}: split {split!r} has {len(source)} rows, expected {size}"
        )
    if num_classes is not None:
        path = folder / f"{split}-labels.npy"
        labels = dataset.check_labels(
            np.load(path, allow_pickle=False),
            size=size,
            num_classes=num_classes,
            where=str(path),
        )
    path, present = folder / f"{split}-present.npy", None
    if path.name in told["files"]:
        has = np.load(path, allow_pickle=False)
        if has.dtype != bool or has.shape != (size, len(row_type.names)):
            raise ValueError(
                f"{path} holds {has.dtype}{list(has.shape)}, expected "
                f"bool[{size}, {len(row_type.names)}]"
            )
        present = dict(zip(sorted(row_type.names), has.T, strict=True))

    def read(indices: np.ndarray) -> Rows:
        """Raises ValueError where a row is damaged."""
        indices = np.asarray(indices, np.int32)
        try:
            joined = b"".join(source.__getitems__(indices.tolist()))
        except RuntimeError as error:
            raise ValueError(
                f"{folder}: a row of split {split!r} is damaged: {error}"
            ) from error
        table = np.frombuffer(joined, row_type)
        return Rows(indices, {m: table[m].copy() for m in row_type.names})

    return Split({}, size, labels, read=read, present=present)
