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
NaN among them are entries that are missing, in views that `write` calls ``partial``.
Other numbers are stored as float32, [b] as [b, 1] (`dataset.as_array`).

Opening compares files and manifest; reading a row verifies the checksum that
array_record keeps of it, so a bit that flipped is an error and never a picture.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.data import covariates, dataset, drawings, manifest
from jnf_jax.data.dataset import SPLITS, Dataset, Rows, Scaling, Split
from jnf_jax.data.rendering import fetch_stored
from jnf_jax.names import COVARIATES, check_names
from jnf_jax.runtime.files import read_arrays, user_path

FILE_BYTES = 2**30
"""A file is closed once it is larger than this."""


class Part(NamedTuple):
    """Some consecutive tuples; a plain tuple is read as one.

    Attributes:
      views: {modality: u8 or f32[b, *shape]}; whatever stands where a tuple lacks the
        view is written as zeros.
      labels: i32[b], or None.
      present: {modality: bool[b]}, which views each tuple has; None: all of them.
      covariates: f32[b, K], the columns of `covariates.py`; None: there are none.
    """

    views: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    present: Mapping[str, np.ndarray] | None = None
    covariates: np.ndarray | None = None


def write(
    folder: str | Path,
    *,
    name: str,
    num_classes: int | None,
    splits: Mapping[str, Iterable[tuple]],
    about: Mapping[str, Any] | None = None,
    partial: Sequence[str] = (),
) -> None:
    """Writes a data set; no more than one part of it is in memory at a time.

    Where that fails nothing is left.

    Args:
      folder: must not exist yet.
      name: results will call the set so.
      num_classes: of the labels; None without labels.
      splits: "train", "validation" and "test": each its parts, `Part`, of any size.
      about: more that the manifest is to hold, as `own.write` has it.
      partial: views of floats of which a tuple may lack single entries: NaN there.

    Raises:
      FileExistsError: ``folder`` is there.
      ValueError: other names of splits; a split without tuples; a name of a view that
        `check_names` refuses; views that are no numbers (`dataset.as_array`) [b,
        height, width, channel] (sequences: [b, tokens, channel], vectors: [b,
        features]) where they are present, or differ in names, shapes or stored types
        from the first; a tuple that has no view; labels that are missing, superfluous,
        or not in 0, …, ``num_classes`` − 1. Rows are counted from the start of their
        split.
    """
    folder = user_path(folder, "folder")
    if folder.exists():
        raise FileExistsError(f"{folder} exists: remove it, or write to another folder")
    if set(splits) != set(SPLITS):
        raise ValueError(f"`splits` is {sorted(splits)}, expected {sorted(SPLITS)}")
    unfinished = folder.with_name(f"{folder.name}.partial")
    if unfinished.exists():  # left by a process that was killed
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    try:
        found = _write_splits(unfinished, num_classes, splits, tuple(partial))
        told = {"format": manifest.FORMAT, "name": name} | dict(about or {}) | found
        (unfinished / manifest.NAME).write_text(json.dumps(told, indent=1))
        unfinished.rename(folder)
    finally:
        if unfinished.exists():
            shutil.rmtree(unfinished)


def _write_splits(
    folder: Path,
    num_classes: int | None,
    splits: Mapping[str, Iterable[tuple]],
    partial: tuple[str, ...],
) -> dict[str, Any]:
    """Writes the files of all splits; returns what the manifest says of them."""
    entries, ranges, row_type = {}, {}, None
    for split in SPLITS:
        tables = _tables(split, splits[split], row_type, num_classes, ranges, partial)
        if (first := next(tables, None)) is None:
            raise ValueError(f"split {split!r} has no tuples")
        row_type = first[0].dtype
        tables = itertools.chain([first], tables)
        entries[split] = _write_split(folder, split, tables)
    if absent := [m for m, (low, high) in ranges.items() if low > high]:
        raise ValueError(f"modalities {absent} are present in no tuple, expected some")
    return {
        "num_classes": num_classes,
        "splits": entries,
        "shapes": {m: row_type[m].shape for m in row_type.names if m != COVARIATES},
        "floats": ranges,
        **({"partial": sorted(partial)} if partial else {}),
    }


def _tables(
    split: str,
    parts: Iterable[Part | tuple],
    row_type: np.dtype | None,
    num_classes: int | None,
    ranges: dict[str, list[float]],
    partial: tuple[str, ...],
) -> Iterator[tuple[np.ndarray, np.ndarray | None, np.ndarray]]:
    """Each part as an array of ``row_type``, its labels, and bool[b, M] of what tuples
    have; ValueError if unfit.

    ``row_type`` None is that of the first part. ``ranges`` widens to the least and the
    largest value of each modality of floats.
    """
    start = 0
    for part in parts:
        views, labels, present, columns = Part(*part)
        if row_type is None:
            check_names(views, f"split {split!r}")
        size = len(next(iter(views.values()), ()))
        has = _presence(split, present, sorted(views), size, start)
        views = {
            m: _as_stored(views[m], of_row, f"{split}.{m}", start, m in partial)
            for m, of_row in zip(sorted(views), has.T, strict=True)
        }
        beside = {}
        if columns is not None:
            beside = {COVARIATES: dataset.as_array(columns, f"{split}.covariates")}
        stored = views | beside
        own_type = np.dtype([(m, x.dtype, x.shape[1:]) for m, x in stored.items()])
        row_type = own_type if row_type is None else row_type
        sizes = {len(x) for x in stored.values()}
        if own_type != row_type or sizes != {size} or not size:
            got = {m: (x.shape, str(x.dtype)) for m, x in stored.items()}
            raise ValueError(
                f"split {split!r}: got views {got}, expected rows that are the same of "
                f"all views, and the same as the first: {row_type}"
            )
        if (labels is None) != (num_classes is None):
            raise ValueError(
                f"split {split!r}: labels go with num_classes, which is {num_classes}; "
                f"got {'none' if labels is None else 'some'}"
            )
        if labels is not None:
            labels = dataset.check_labels(
                labels,
                size=size,
                num_classes=num_classes,
                where=f"split {split!r}: labels",
                start=start,
            )
        table = np.empty(size, row_type)
        for (m, x), of_row in zip(views.items(), has.T, strict=True):
            if x.dtype == np.float32:
                ranges[m] = _widened(ranges.get(m, (np.inf, -np.inf)), x[of_row])
        for m, x in stored.items():
            table[m] = x
        yield table, labels, has
        start += size


def _widened(known: Sequence[float], x: np.ndarray) -> list[float]:
    """The range of values that are there, with those of before."""
    there = x[~np.isnan(x)]
    least, most = there.min(initial=np.inf), there.max(initial=-np.inf)
    return [min(known[0], float(least)), max(known[1], float(most))]


def _as_stored(
    x: Any, of_row: np.ndarray, argument: str, start: int, partial: bool
) -> np.ndarray:
    """Bytes of one to three axes a row as they are, all else as `dataset.as_array`.

    Rows that lack the view are zeros, whatever stood there.
    """
    if not of_row.all() and len(x) == len(of_row):
        x = np.array(x)
        x[~of_row] = 0
    is_bytes = getattr(x, "dtype", None) == np.uint8 and 2 <= x.ndim <= 4
    return np.asarray(x) if is_bytes else dataset.as_array(x, argument, start, partial)


def _presence(
    split: str,
    present: Mapping[str, np.ndarray] | None,
    names: list[str],
    size: int,
    start: int,
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
        row = start + int(np.argmin(has.any(axis=-1)))
        raise ValueError(f"split {split!r}: row {row} has no view at all")
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
    about = manifest.read(folder)
    ranges = about["floats"]
    shapes = {m: tuple(shape) for m, shape in about["shapes"].items()}
    dtypes = {m: "float32" if m in ranges else "uint8" for m in shapes}
    row_type = np.dtype([(m, dtypes[m], shape) for m, shape in shapes.items()])
    if width := manifest.num_covariates(about):
        beside = (COVARIATES, "float32", (width,))
        row_type = np.dtype([*row_type.descr, beside])
    unbounded = [m for m, (low, high) in ranges.items() if low < 0 or high > 1]
    told, num_classes = about["splits"], about["num_classes"]
    return Dataset(
        name=about["name"],
        shapes=shapes,
        splits={
            name: _open_split(
                folder, name, told[name], row_type, num_classes, about["partial"]
            )
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
                functools.partial(drawings.draw, low=low, high=high)
            )
            for m, shape in shapes.items()
            for low, high in [ranges.get(m, (0.0, 1.0))]
            if m in unbounded or not dataset.has_picture_shape(shape)
        },
        unbounded=tuple(sorted(unbounded)),
        scaling=scaling_of(about),
        ranges={m: tuple(told) for m, told in about["ranges"].items()},
        classes=tuple(about["classes"]),
        partial=tuple(about["partial"]),
        covariates=covariates.of_json(about["covariates"]),
    )


@contextlib.contextmanager
def _damaged(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ValueError(f"{what} is damaged: {error}") from error


def scaling_of(about: Mapping[str, Any]) -> dict[str, Scaling]:
    """{modality: how it was scaled}, as a manifest tells it."""
    return {
        m: Scaling(
            np.asarray(told["mean"], np.float32),
            np.asarray(told["scale"], np.float32),
            told.get("rule", "standardise"),  # the only one of older sets
        )
        for m, told in about.get("scaling", {}).items()
    }


def _open_split(
    folder: Path,
    split: str,
    told: dict[str, Any],
    row_type: np.dtype,
    num_classes: int | None,
    partial: Sequence[str],
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
    size, labels = told["size"], None

    damaged = functools.partial(_damaged, f"{folder}: a row of split {split!r}")
    with damaged():
        source = grain.sources.ArrayRecordDataSource([str(folder / n) for n in names])
        stored = len(source[0]) if len(source) else 0
    if len(source) != size:
        raise ValueError(
            f"{folder}: split {split!r} has {len(source)} rows, expected {size}"
        )
    if stored != row_type.itemsize:
        raise ValueError(
            f"{folder}: rows of split {split!r} have {stored} bytes, expected "
            f"{row_type.itemsize} by the shapes in {manifest.NAME}: {row_type}"
        )
    if num_classes is not None:
        path = folder / f"{split}-labels.npy"
        labels = dataset.check_labels(
            read_arrays(path), size=size, num_classes=num_classes, where=str(path)
        )
    present = _read_presence(folder / f"{split}-present.npy", told, row_type.names)

    def read(indices: np.ndarray) -> Rows:
        """Raises ValueError where a row is damaged, or holds what is not finite."""
        indices = np.asarray(indices, np.int32)
        with damaged():
            joined = b"".join(source.__getitems__(indices.tolist()))
        table = np.frombuffer(joined, row_type)
        for m in row_type.names:
            is_bad = np.isinf if m in partial else lambda x: ~np.isfinite(x)
            is_finite = ~is_bad(table[m]).reshape(len(table), -1).any(axis=1)
            if not is_finite.all():
                raise ValueError(
                    f"{folder}: row {indices[~is_finite].min()} of split {split!r} has "
                    f"values of {m!r} that are not finite, expected none"
                )
        return Rows(indices, {m: table[m].copy() for m in row_type.names})

    return Split({}, size, labels, read=read, present=present)


def _read_presence(
    path: Path, told: Mapping[str, Any], names: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """{modality: bool[N]}, which views each tuple has; None: all of them."""
    if path.name not in told["files"]:
        return None
    names = [m for m in names if m != COVARIATES]
    has, shape = read_arrays(path), (told["size"], len(names))
    if has.dtype != bool or has.shape != shape:
        raise ValueError(
            f"{path} holds {has.dtype}{list(has.shape)}, expected bool{list(shape)}"
        )
    return dict(zip(sorted(names), has.T, strict=True))
