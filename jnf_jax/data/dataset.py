"""A data set is arrays for the device, a pure `fetch`, and a record of what they are.

The arrays of a split go to the device once, as uint8 and int32. `fetch` gathers and
renders a batch from them inside the jitted step, so no pixel crosses the host again.
Where the data do not fit, `Split.read` reads a batch's rows on the host first.
"""

import dataclasses
import functools
import hashlib
import numbers
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnf_jax import content_keys
from jnf_jax.data.covariates import Covariate
from jnf_jax.names import COVARIATES, check_names
from jnf_jax.runtime.files import user_path

SPLITS = ("train", "validation", "test")
"""The names of the splits; the position is the number folded into a split's key."""


def has_picture_shape(shape: tuple[int, ...]) -> bool:
    """Whether it is (height, width, channel), grey or of three colours."""
    return len(shape) == 3 and shape[-1] in (1, 3)


class Rows(NamedTuple):
    """Tuples that were read on the host; `fetch` takes them in place of their indices.

    ``indices`` are i32[B], ``views`` {modality: u8 or f32[B, *shape]}, as stored.
    """

    indices: Any
    views: dict[str, Any]


def indices_of(rows: Any) -> Any:
    """The indices i32[B], whether `fetch` takes them alone or as ``Rows``."""
    return rows.indices if isinstance(rows, Rows) else rows


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split: the arrays on the device, the number of its tuples, their labels.

    Attributes:
      arrays: pytree of numpy arrays, argument 0 of `Dataset.fetch`.
      size: number of tuples; valid indices are ``0 <= index < size``.
      labels: i32[size] class of each tuple, or None.
      num_epochs: how many epochs `size` counts; more than 1 for tuples drawn afresh.
      read: ``i32[B] -> Rows``, on the host and from any thread, where the tuples are
        not in `arrays`; None where they are.
      present: {modality: bool[size]}, the views that each tuple has; None: all of them.
        A view that is not there is fetched as zeros.
    """

    arrays: Any
    size: int
    labels: np.ndarray | None
    num_epochs: int = 1
    read: Callable[[np.ndarray], Rows] | None = None
    present: Mapping[str, np.ndarray] | None = None

    def rows(self, indices: np.ndarray) -> np.ndarray | Rows:
        """Argument 1 of `Dataset.fetch` for these tuples."""
        return indices if self.read is None else self.read(indices)

    @property
    def has_all(self) -> np.ndarray:
        """Whether each tuple has all views, bool[size]."""
        if self.present is None:
            return np.ones(self.size, bool)
        return np.all(list(self.present.values()), axis=0)


class Presentation(NamedTuple):
    """How people look at a modality that is not, or not only, a picture.

    ``picture`` maps f32[N, *shape] to f32[N, height, width, 1 or 3]; None: it is one.
    ``write(path without suffix, f32[N, *shape])`` returns the files that it wrote
    beside the pictures; None: it writes nothing.
    """

    picture: Callable[[Any], Any] | None = None
    write: Callable[[Path, Any], list[Path]] | None = None


class Scaling(NamedTuple):
    """A modality is read as u = (f(x) − mean) / scale, x in the user's units.

    ``rule`` "standardise" is f(x) = x, "log1p" f(x) = log(1 + x). ``mean`` and
    ``scale`` are f32[C], over the last axis of the event, in the units of f(x).
    """

    mean: np.ndarray
    scale: np.ndarray
    rule: str = "standardise"

    def to_model(self, x: np.ndarray) -> np.ndarray:
        """u of x, both [..., C]."""
        x = np.log1p(x) if self.rule == "log1p" else x
        return (x - self.mean) / self.scale

    def to_user(self, u: np.ndarray) -> np.ndarray:
        """x of u, both [..., C]."""
        x = u * self.scale + self.mean
        return np.expm1(x) if self.rule == "log1p" else x

    def log_volume(self, u: np.ndarray) -> np.ndarray:
        """log |∂x/∂u| of each row, nats: f64[N] of f32[N, ..., C].

        ::

            Σ log scale,  and by log1p  Σ log scale + log(1 + x),  log(1 + x) = f(x)
        """
        f = u * self.scale + self.mean if self.rule == "log1p" else 0 * u
        axes = tuple(range(1, u.ndim))
        # Entries that are missing are NaN: the volume is of the others.
        return np.nansum(f + np.log(self.scale), axis=axes, dtype=np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A multimodal data set.

    Attributes:
      name: the name that results carry, e.g. "polymnist_procedural".
      shapes: modality -> event shape; f32 in [0, 1] but for `unbounded`. Pictures are
        (height, width, channel), sequences (tokens, channel): text is one-hot, padding
        rows of zeros. Vectors are (features,).
      splits: "train", "validation" and "test".
      fetch: ``(Split.arrays, Split.rows(i32[B])) -> {modality: f32[B, *shape]}``, pure
        and jit-able; the same index always gives the same pixels. Under ``COVARIATES``
        are those of the rows, where they have some.
      num_classes: number of classes of the labels, or None.
      record: JSON-able: settings, sizes and SHA-256 checksums of all that makes views.
        A checksum whose name is a split's, or ends in ``_`` and it, is that split's
        alone. Labels are not among them: see `contents`.
      read_label: pictures of any modality f32[B, ...] -> i32[B], where a rule reads the
        label without error; evaluation then trains no classifier.
      presentations: modality -> how to show it, for those that are no pictures.
      unbounded: modalities whose values are any numbers.
      unlabelled: modalities that tell nothing of the label: no classifier reads them.
      scaling: modality -> how its values were scaled, where they were.
      ranges: modality -> its least and largest value in the user's units, where known.
      classes: names of the classes, where they have some.
      partial: modalities of which a tuple may lack single entries: they are NaN.
      covariates: what rows come with beside the modalities, in the order of columns.

    Raises:
      ValueError: a name of a modality that `check_names` refuses.
    """

    name: str
    shapes: dict[str, tuple[int, ...]]
    splits: dict[str, Split]
    fetch: Callable[[Any, Any], dict[str, Any]]
    num_classes: int | None
    record: dict[str, Any]
    read_label: Callable[[Any], Any] | None = None
    presentations: Mapping[str, Presentation] = dataclasses.field(default_factory=dict)
    unbounded: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    scaling: Mapping[str, Scaling] = dataclasses.field(default_factory=dict)
    ranges: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    covariates: tuple[Covariate, ...] = ()

    def __post_init__(self):
        check_names(self.shapes, f"data set {self.name!r}")

    @functools.cached_property
    def complete(self) -> "Dataset":
        """The same set without the tuples that lack a view; its record stays."""
        splits = {name: _complete(split) for name, split in self.splits.items()}
        return dataclasses.replace(self, splits=splits)

    def clip(self, views: Mapping[str, Any]) -> dict[str, Any]:
        """Clips values to [0, 1], where data lie, but for those of `unbounded`.

        Entries that are missing become zeros.
        """
        views = self.filled(views)
        return {m: x if m in self.unbounded else x.clip(0, 1) for m, x in views.items()}

    def filled(self, views: Mapping[str, Any]) -> dict[str, Any]:
        """Zeros in place of entries that are missing, for whoever needs numbers.

        Covariates, which are no view, are left out.
        """
        views = {m: x for m, x in views.items() if m != COVARIATES}
        return {m: _filled(x) if m in self.partial else x for m, x in views.items()}


def _filled(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return np.where(np.isnan(x), np.float32(0), x)
    import jax.numpy as jnp  # not at the top: configs read manifests without jax

    return jnp.where(jnp.isnan(x), 0.0, x)


def _complete(split: Split) -> Split:
    if split.present is None:
        return split
    kept = np.flatnonzero(split.has_all).astype(np.int32)
    labels = None if split.labels is None else split.labels[kept]
    if split.read is not None:
        read = split.read
        changed = {"read": lambda rows: read(kept[rows])._replace(indices=rows)}
    else:  # only stored tuples, a row of each array, lack views
        changed = {"arrays": {m: x[kept] for m, x in split.arrays.items()}}
    about = dict(size=len(kept), labels=labels, present=None, **changed)
    return dataclasses.replace(split, **about)


def checksum(array: np.ndarray) -> str:
    """SHA-256 (hex) of an array's dtype, shape and bytes in C order.

    >>> checksum(np.zeros(2, np.uint8))[:8]
    '11170b97'
    """
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def contents(
    dataset: Dataset, *, splits: tuple[str, ...] = SPLITS, with_labels: bool = True
) -> dict[str, Any]:
    """All that a content key needs to know about a data set's values, JSON-able.

    It depends neither on where the tuples are nor on folders. Checksums that belong to
    a split alone are those of ``splits``.

    No stage of a method reads labels, so a set's labels may be corrected without
    training again: ``with_labels=False`` leaves them out. Classifiers, coherence and
    probes do read them, and need to know how judges see a view: "unbounded", and
    "by_rule" where a rule reads the label.
    """
    others = set(SPLITS) - set(splits)
    found: dict[str, Any] = {
        "name": dataset.name,
        "checksums": {
            name: value
            for name, value in dataset.record["checksums"].items()
            if name.rpartition("_")[2] not in others
        },
        "shapes": {m: [int(n) for n in s] for m, s in dataset.shapes.items()},
    }
    if "dtypes" in dataset.record:  # of sets that are stored view by view
        found["dtypes"] = dataset.record["dtypes"]
    if with_labels:
        labels = {split: dataset.splits[split].labels for split in splits}
        found |= {
            "num_classes": dataset.num_classes,
            "labels": {
                s: None if x is None else checksum(x) for s, x in labels.items()
            },
            "unbounded": sorted(dataset.unbounded),
            "by_rule": dataset.read_label is not None,
        }
        if dataset.unlabelled:  # most sets have none
            found["unlabelled"] = sorted(dataset.unlabelled)
    return content_keys.identity("tuples", found)


def check_labels(
    labels: Any, *, size: int, num_classes: int, where: str, start: int = 0
) -> np.ndarray:
    """Labels i32[size] from 0 to ``num_classes`` − 1, none of them changed on the way.

    They may be integers, or floats that are whole; rows are counted from ``start``.

    Raises:
      ValueError: another shape or type, or the first row with anything but a class; the
        message begins with ``where``, a file or a split.

    >>> check_labels([0, 2, 1.7], size=3, num_classes=3, where="`labels`")
    Traceback (most recent call last):
    ValueError: `labels`: row 2 is 1.7, expected a whole number from 0 to 2
    """
    found = _as_numpy(labels, where)
    if found.shape != (size,) or found.dtype.kind not in "iuf":
        raise ValueError(
            f"{where}: got {found.dtype}{list(found.shape)}, expected integers [{size}]"
        )
    is_class = (found >= 0) & (found < num_classes) & (found == np.floor(found))
    if not is_class.all():
        row = int(np.argmin(is_class))
        raise ValueError(
            f"{where}: row {start + row} is {found[row]}, expected a whole number from "
            f"0 to {num_classes - 1}"
        )
    return found.astype(np.int32)


def as_array(
    x: Any, argument: str, start: int = 0, partial: bool = False
) -> np.ndarray:
    """One view of every row: u8[N, H, W, C], or f32[N, ...] of two to four axes.

    ``argument`` is the user's name for it, in messages, which name the first row at
    fault, counted from ``start``. With ``partial`` floats may be NaN: these entries are
    missing.

    Raises:
      ValueError: it holds no numbers, NaN or infinities, integers that f32 cannot hold,
        bytes that are no pictures, no rows, or too many axes.

    >>> as_array([1.5, 2.0], "views.x")
    array([[1.5],
           [2. ]], dtype=float32)
    """
    if np.ma.is_masked(x):
        raise ValueError(f"`{argument}` has masked values, expected none")
    x = _as_numpy(x, f"`{argument}`")
    if x.dtype.kind not in "biuf":
        raise ValueError(
            f"`{argument}` has dtype {x.dtype}, expected numbers{_no_number(x, start)}"
        )
    if x.ndim == 1:
        x = x[:, None]
    if not 2 <= x.ndim <= 4 or not x.size:
        raise ValueError(
            f"`{argument}` has shape {x.shape}, expected one or more rows [N], "
            "[N, features], [N, tokens, channels] or [N, height, width, channels]"
        )
    if x.dtype == np.uint8 and x.ndim == 4:
        return x
    if x.dtype == np.uint8 and x.ndim == 3:
        raise ValueError(
            f"`{argument}` has bytes of shape {x.shape}, expected "
            "[N, height, width, channels] of grey pictures (x[..., None]), or floats "
            "of sequences"
        )
    with np.errstate(over="ignore"):
        converted = x.astype(np.float32)

    def refuse(is_bad: np.ndarray, what: str, expected: str) -> None:
        if is_bad.any():
            row = int(np.argmax(is_bad.reshape(len(x), -1).any(axis=1)))
            first = x[row][is_bad[row]].flat[0]
            raise ValueError(
                f"`{argument}` has {int(is_bad.sum())} {what}, the first, {first}, in "
                f"row {start + row}: expected {expected}"
            )

    if x.dtype.kind in "iu":
        told = "integers that float32 cannot hold exactly"
        refuse(converted != x, told, "scaled floats")
    if partial and x.dtype.kind == "f":
        is_bad = ~np.isfinite(converted) & ~np.isnan(x)
        refuse(is_bad, "values that are infinite or beyond float32", "finite numbers")
        return converted
    refuse(
        ~np.isfinite(converted),
        "values that are NaN, infinite or beyond float32",
        "finite numbers",
    )
    return converted


def _as_numpy(x: Any, argument: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{argument} is no array: {error}") from error


def _no_number(x: np.ndarray, start: int) -> str:
    """Where an array of objects holds the first that is none; "" if all are numbers."""
    for row, values in enumerate(x if x.dtype == object and x.ndim else ()):
        for value in np.ravel(np.asarray(values, object)):
            if not isinstance(value, numbers.Real):
                return f": row {start + row} has {value!r}"
    return ""


def check_same_rows(arrays: Mapping[str, Any], where: str) -> None:
    """Raises ValueError unless all arrays have as many rows as each other."""
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"{where}: unequal numbers of rows: {rows}")


def find_files(folder: str, names: Iterable[str], about: str) -> Path:
    """The folder ``data.data_dir``, which must hold files of all these names.

    Raises:
      FileNotFoundError: names all that are missing; ``about`` ends the message.
    """
    root = user_path(folder, "data.data_dir") if folder else None
    missing = [name for name in names if not root or not (root / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"`data.data_dir` is {folder!r}, expected a folder with "
            f"{', '.join(missing)}, {about}"
        )
    return root


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy generator of its own for each purpose, from one seed.

    ``purpose`` are words and numbers that tell this stream from the seed's others.
    """
    words = [p if isinstance(p, int) else zlib.crc32(p.encode()) for p in purpose]
    return np.random.default_rng([seed, *words])


def array_checksums(splits: Mapping[str, Split]) -> dict[str, dict[str, str]]:
    """The checksum of each array of each split, for sets that hold little else."""
    return {
        split: {name: checksum(array) for name, array in part.arrays.items()}
        for split, part in splits.items()
    }


def build_record(
    settings: Any,
    splits: Mapping[str, Split],
    checksums: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON-able record of a data set; ``checksums`` None are `array_checksums`.

    Folders and files are left out of the settings: where the data lay says nothing
    about their values, and the checksums say all.
    """
    fields = dataclasses.asdict(settings).items()
    is_place = ("_dir", "_file")
    return {
        "settings": {name: x for name, x in fields if not name.endswith(is_place)},
        "sizes": {name: split.size for name, split in splits.items()},
        "checksums": array_checksums(splits) if checksums is None else checksums,
    }
