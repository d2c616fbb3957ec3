"""Where a data set's tuples are while a model trains: on the device, or in files.

On the device batches are gathered inside the step, which costs nothing; a set that is
larger than `MAX_ON_DEVICE` is read from array_record files instead, a few batches ahead
(`pipeline.py`). Order and pixels are the same, hence results, up to how XLA rounds what
it fuses with the gathering: a run may even go on with its data elsewhere.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.content_keys import content_key
from jnf_jax.data import record_files
from jnf_jax.data.dataset import SPLITS, Dataset, Split, contents
from jnf_jax.data.rendering import fetch_stored, to_unit
from jnf_jax.data.tfds_cache import cache_argument, cache_root, locked
from jnf_jax.names import file_name
from jnf_jax.options import option, require
from jnf_jax.runtime.files import try_folder

PLACEMENTS = ("auto", "device", "stream")


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where tuples are; in a config beside the fields of the data set."""

    placement: str = option(
        "auto",
        "Where tuples are: on the device, in files, or as their size says.",
        one_of=PLACEMENTS,
    )


MAX_ON_DEVICE = 4 * 2**30
"""Bytes of all splits up to which "auto" keeps a set on the device: a quarter of an
accelerator with 16 GiB."""

_PART = 1_000


def place(dataset: Dataset, placement: str, cache_dir: str | Path = "") -> Dataset:
    """The same data set with its tuples where they are wanted, and the same record.

    ``placement`` is "device"; "stream", which writes the tuples to files below
    ``cache_dir`` (each machine's own, or one for all) unless they are there; or "auto",
    which chooses by size.

    Raises:
      ValueError: an unknown placement; "stream" for tuples drawn afresh every epoch;
        files that are damaged, or hold other tuples than the data set.
    """
    require(Placement(placement), "data")
    in_files = dataset.splits["train"].read is not None
    if placement == "auto":
        placement = "device" if num_bytes(dataset) <= MAX_ON_DEVICE else "stream"
    if in_files == (placement == "stream"):
        return dataset
    if not in_files:
        key = content_key("stored tuples", contents(dataset))
        name = f"{file_name(dataset.name)}-{key}"
        folder = cache_root(cache_dir) / "records" / name
        if not folder.exists():
            try_folder(folder, cache_argument(cache_dir))
        return _in_files(dataset, folder)

    def whole(split: Split) -> Split:
        rows = split.read(np.arange(split.size, dtype=np.int32))
        return dataclasses.replace(split, arrays=rows.views, read=None)

    splits = {name: whole(split) for name, split in dataset.splits.items()}
    return dataclasses.replace(dataset, splits=splits)


def num_bytes(dataset: Dataset) -> int:
    """Bytes that all splits take up on the device."""
    return sum(
        sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(split.arrays))
        if split.read is None
        else split.size * sum(x.nbytes for x in split.read(np.arange(1)).views.values())
        for split in dataset.splits.values()
    )


def _in_files(dataset: Dataset, folder: Path) -> Dataset:
    fresh = [name for name, split in dataset.splits.items() if split.num_epochs > 1]
    if fresh:
        raise _refused(dataset, f"tuples are drawn afresh every epoch in {fresh}")
    fetch = jax.jit(dataset.fetch)
    train = dataset.splits["train"]
    rows = np.arange(_PART, dtype=np.int32) % train.size
    first = jax.device_get(fetch(train.arrays, rows))
    in_bytes = {m for m, x in first.items() if _bytes_of(x) is not None}
    with locked(folder):
        if not folder.exists():
            record_files.write(
                folder,
                name=dataset.name,
                num_classes=dataset.num_classes,
                splits={s: _render(dataset, s, fetch, in_bytes) for s in SPLITS},
            )
    stored = record_files.open_dataset(folder)
    # The code that renders may have changed since the files were written.
    same_sizes = stored.record["sizes"] == dataset.record["sizes"]
    again = fetch_stored({}, stored.splits["train"].read(rows)) if same_sizes else {}
    if not same_sizes or any(not np.array_equal(x, again[m]) for m, x in first.items()):
        raise ValueError(
            f"{folder} holds other tuples than {dataset.name!r} has now: remove it, "
            "and it is written again"
        )
    return dataclasses.replace(dataset, splits=stored.splits, fetch=fetch_stored)


def _render(
    dataset: Dataset, name: str, fetch: Callable, in_bytes: set[str]
) -> Iterator[record_files.Part]:
    """The tuples of a split, `_PART` at a time; modalities ``in_bytes`` times 255."""
    split = dataset.splits[name]
    for start in range(0, split.size, _PART):
        # Always as many, so that one compiled program serves.
        rows = np.arange(start, start + _PART, dtype=np.int32)
        views = jax.device_get(fetch(split.arrays, rows % split.size))
        rows = rows[: split.size - start]
        views = {m: x[: len(rows)] for m, x in views.items()}
        stored = {m: _bytes_of(x) if m in in_bytes else x for m, x in views.items()}
        if missed := [m for m, x in stored.items() if x is None]:
            raise _refused(dataset, f"some of {missed} is bytes / 255, but not all")
        yield stored, None if split.labels is None else split.labels[rows]


def _refused(dataset: Dataset, why: str) -> ValueError:
    return ValueError(
        f"`data.placement` is 'stream', expected 'device' for {dataset.name!r}: {why}"
    )


def _bytes_of(x: np.ndarray) -> np.ndarray | None:
    """u8 of the same shape that divided by 255 is exactly x; None if there is none."""
    stored = np.rint(np.clip(x, 0.0, 1.0) * 255.0).astype(np.uint8)
    return stored if np.array_equal(to_unit(jnp.asarray(stored)), x) else None
