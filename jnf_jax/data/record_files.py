"""Tuples in array_record files: written once, then read by their row number.

One folder a data set, which appears whole or not at all::

    train-00000.array_record, …   a record a tuple: the bytes of its pictures, by name
    train-labels.npy              i32[N], where the set has classes
    manifest.json                 shapes, sizes of splits and files, SHA-256

A set of your own, from an iterator of its parts; it is then ``data.name="records"``::

    def parts():  # b tuples at a time: u8[b, height, width, channel] each, i32[b]
        yield {"photo": photos, "sketch": sketches}, labels

    write(folder, name="mine", num_classes=7, splits={"train": parts(), …})

Opening compares files and manifest; reading a row verifies the checksum that
array_record keeps of it, so a bit that flipped is an error and never a picture.
"""

import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jnf_jax.data.dataset import SPLITS, Dataset, Rows, Split
from jnf_jax.data.rendering import fetch_stored

FORMAT = 1
FILE_BYTES = 2**30
"""A file is closed once it is larger than this."""

Part = tuple[Mapping[str, np.ndarray], np.ndarray | None]
"""Some consecutive tuples: {modality: u8[b, height, width, channel]}, labels i32[b]."""


def write(
    folder: Path,
    *,
    name: str,
    num_classes: int | None,
    splits: Mapping[str, Iterable[Part]],
) -> None:
    """Writes a data set; no more than one part of it is in memory at a time.

    Args:
      folder: must not exist yet.
      name: what results will call the set.
      num_classes: of the labels; None without labels.
      splits: "train", "validation" and "test": their tuples in parts of any size.

    Raises:
      FileExistsError: ``folder`` is there.
      ValueError: other names of splits; a split without tuples; pictures that are not
        u8[b, height, width, channel] (sequences: [b, tokens, channel]), or differ in
        names or shapes from the first; labels that are missing, superfluous, or not in
        0, …, ``num_classes`` − 1.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists: remove it, or write to another folder")
    if set(splits) != set(SPLITS):
        raise ValueError(f"splits: got {sorted(splits)}, expected {sorted(SPLITS)}")
    partial = folder.with_name(f"{folder.name}.partial")
    if partial.exists():  # left by a process that was killed
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    manifest: dict[str, Any] = {"format": FORMAT, "name": name}
    manifest |= {"num_classes": num_classes, "splits": {}}
    for split in SPLITS:
        found, parts = _shapes_of(split, splits[split])
        shapes = manifest.setdefault("shapes", found)
        checked = (_check_part(split, part, shapes, num_classes) for part in parts)
        manifest["splits"][split] = _write_split(partial, split, checked)
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=1))
    partial.rename(folder)


def _shapes_of(split: str, parts: Iterable[Part]) -> tuple[dict, Iterator[Part]]:
    """Event shapes of the first part, and all parts."""
    parts = iter(parts)
    first = next(parts, None)
    if first is None:
        raise ValueError(f"split {split!r} has no tuples")
    shapes = {m: list(np.shape(x)[1:]) for m, x in sorted(first[0].items())}
    return shapes, itertools.chain([first], parts)


def _check_part(
    split: str, part: Part, shapes: dict[str, list[int]], num_classes: int | None
) -> Part:
    pictures, labels = part
    size = len(next(iter(pictures.values()), ()))
    got = {m: (np.shape(x), str(x.dtype)) for m, x in sorted(pictures.items())}
    expected = {m: ((size, *shape), "uint8") for m, shape in shapes.items()}
    if (
        got != expected
        or not size
        or any(len(s) not in (2, 3) for s in shapes.values())
    ):
        raise ValueError(
            f"split {split!r}: got pictures {got}, expected uint8 of shapes "
            f"[{size or 'b'}, height, width, channel] or [{size or 'b'}, tokens, "
            f"channel], the same as the first: {shapes}"
        )
    if (labels is None) != (num_classes is None):
        raise ValueError(
            f"split {split!r}: labels go with num_classes, which is {num_classes}; got "
            f"{'none' if labels is None else 'some'}"
        )
    if labels is not None:
        labels = np.asarray(labels, np.int32)
        known = np.isin(labels, np.arange(num_classes))
        if labels.shape != (size,) or not known.all():
            raise ValueError(
                f"split {split!r}: labels must be {size} numbers from 0 to "
                f"{num_classes - 1}, got {labels}"
            )
    return pictures, labels


def _write_split(folder: Path, split: str, parts: Iterable[Part]) -> dict[str, Any]:
    """Writes its files; returns what the manifest says of it."""
    from array_record.python.array_record_module import ArrayRecordWriter

    digest, labels, files, size = hashlib.sha256(), [], {}, 0
    writer, path, written = None, None, 0
    for pictures, of_part in parts:
        flat = [x.reshape(len(x), -1) for _, x in sorted(pictures.items())]
        table = np.concatenate(flat, axis=1)
        labels += [] if of_part is None else [of_part]
        size += len(table)
        digest.update(table.data)
        for row in table:
            if writer is None:
                path = folder / f"{split}-{len(files):05d}.array_record"
                # A row alone is a chunk: random access reads nothing else.
                writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
            writer.write(row.tobytes())
            written += row.nbytes
            if written > FILE_BYTES:
                writer.close()
                files[path.name], writer, written = path.stat().st_size, None, 0
    if writer is not None:
        writer.close()
        files[path.name] = path.stat().st_size
    if labels:
        path = folder / f"{split}-labels.npy"
        np.save(path, np.concatenate(labels))
        files[path.name] = path.stat().st_size
    return {"size": size, "sha256": digest.hexdigest(), "files": files}


def open_dataset(folder: Path) -> Dataset:
    """A data set whose tuples stay in their files: every split has a ``read``.

    Args:
      folder: that `write` wrote.

    Raises:
      FileNotFoundError: no such folder, or no manifest in it.
      ValueError: another format; a file is missing, has another size than was written,
        or other than the written number of rows.
    """
    folder = Path(folder)
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
    shapes = {m: tuple(shape) for m, shape in manifest["shapes"].items()}
    told = manifest["splits"]
    splits = {name: _open_split(folder, name, told[name], shapes) for name in told}
    return Dataset(
        name=manifest["name"],
        shapes=shapes,
        splits=splits,
        fetch=fetch_stored,
        num_classes=manifest["num_classes"],
        record={
            "settings": {},
            "sizes": {split: told[split]["size"] for split in told},
            "checksums": {split: told[split]["sha256"] for split in told},
        },
    )


def _open_split(
    folder: Path, split: str, told: dict[str, Any], shapes: dict[str, tuple[int, ...]]
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
    if len(source) != told["size"]:
        raise ValueError(
            f"{folder}: split {split!r} has {len(source)} rows, expected {told['size']}"
        )
    labels = None
    if f"{split}-labels.npy" in told["files"]:
        labels = np.load(folder / f"{split}-labels.npy", allow_pickle=False)

    def read(indices: np.ndarray) -> Rows:
        """Raises ValueError where a row is damaged."""
        try:
            table = _read_table(source, indices, sum(map(math.prod, shapes.values())))
        except RuntimeError as error:
            raise ValueError(
                f"{folder}: a row of split {split!r} is damaged: {error}"
            ) from error
        ends = itertools.accumulate(map(math.prod, shapes.values()))
        columns = np.split(table, list(ends)[:-1], axis=1)
        return Rows(
            np.asarray(indices, np.int32),
            {
                m: x.reshape(len(table), *shape)
                for (m, shape), x in zip(shapes.items(), columns, strict=True)
            },
        )

    return Split({}, told["size"], labels, read=read)


def _read_table(source: Any, indices: np.ndarray, row_bytes: int) -> np.ndarray:
    """u8[B, row_bytes]."""
    joined = b"".join(source.__getitems__(np.asarray(indices).tolist()))
    return np.frombuffer(joined, np.uint8).reshape(len(indices), row_bytes)
