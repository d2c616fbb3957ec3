"""Arrays in memory as a data set: checked, converted, split, written.

``jnf_jax.fit`` writes what it was given to the folder of its run, as records
(`record_files.py`), so that every program opens it like any other data set. What
arrays may be, and what becomes of them:

====================  ================================================================
u8[N, H, W, C]        bytes of pictures, kept; a model reads x / 255
f32 within [0, 1]     kept
f32 beyond            standardised by mean and standard deviation of each last-axis
                      feature over the training rows; or as ``SCALINGS`` has it
f16, f64, int, bool   f32 first; integers that f32 cannot hold are refused
int, bool: ``KINDS``  kept, for likelihoods of their own: integers from 0, bool
[N]                   [N, 1]
a row all NaN, or     the row lacks this view (of arrays that are fit, not of new rows):
all masked            it is written as zeros, and counts in no mean and no loss
a value that is NaN,  this entry is missing: it is kept as NaN, counts in no mean and no
or masked             loss, and encoders are told of it; not of bytes of pictures
====================  ================================================================

Covariates of rows are told in ``covariates.py``.

A model's values are therefore those of the last column; ``to_model`` and ``to_user`` go
between the two, and a log density per unit of the user's is ``log_volume`` lower. By
"log1p" a model knows the distribution of log(1 + x): what comes back of its mean is
about the median of x, and lower than the mean.
"""

import numbers
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jnf_jax.data import covariates as covariates_of
from jnf_jax.data import manifest, record_files
from jnf_jax.data.dataset import (
    SPLITS,
    Dataset,
    Scaling,
    as_array,
    check_labels,
    checksum,
    generator,
)
from jnf_jax.names import COVARIATES, check_names
from jnf_jax.options import among, unknown

LEAST_ROWS = 20
"""Sixteen to train on, two each to validate and to test."""

HELD_OUT = 0.1
"""Share of the rows in each of the splits "validation" and "test"."""

SCALINGS = {
    "standardise": "(x − mean) / standard deviation",
    "log1p": "log(1 + x), then standardised: for x >= 0 over several decades",
    "none": "x",
}
"""How a view may be scaled; without a choice ``scaling_rule`` makes it."""


KINDS = {
    "classes": "bool, or 0 and 1, with one 1 along the last axis of 2 or more",
    "boolean": "any other bool, or 0 and 1",
    "scores": "integers from 0 to at most MOST_SCORE",
    "counts": "integers of which some are 0 and some are more than that",
}
"""Views of bool or integers, of which no value is scaled, by the first rule that holds;
all others, and all floats, are numbers."""

MOST_SCORE = 9
"""Integers up to here are classes with an order, which learn how probable each is;
beyond, what is learnt of counts is a mean and a dispersion."""


def kind_of(dtype: np.dtype, x: np.ndarray) -> str | None:
    """The one of ``KINDS`` of a view's rows as ``as_array`` has them, f32[N, ..., C].

    ``dtype`` is that which they came with. Entries that are missing are NaN.
    """
    if dtype.kind not in "biu" or x.dtype == np.uint8:
        return None
    low, high = np.nanmin(x), np.nanmax(x)
    if low >= 0 and high <= 1:
        is_vector = x.ndim <= 3 and x.shape[-1] >= 2
        return "classes" if is_vector and (x.sum(axis=-1) == 1).all() else "boolean"
    if low >= 0 and high <= MOST_SCORE:
        return "scores"
    return "counts" if low == 0 else None


def as_arrays(
    views: Any, argument: str = "views", partial: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """``as_array`` of each view, all of as many rows; ``partial`` ones may have NaN.

    Raises:
        ValueError: not a mapping of names to arrays, or empty; a name that
            ``check_names`` refuses; as ``as_array``; other numbers of rows.
    """
    if not isinstance(views, Mapping) or not views:
        got = repr(views) if isinstance(views, Mapping) else type(views).__name__
        raise ValueError(f"`{argument}` is {got}, expected {{name: array [N, ...]}}")
    check_names(views, f"`{argument}`")
    arrays = {
        m: as_array(x, f"{argument}.{m}", partial=m in partial)
        for m, x in sorted(views.items())
    }
    sizes = {m: len(x) for m, x in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"`{argument}` has rows {sizes}, expected the same of all")
    return arrays


def take_absent(views: Any) -> tuple[Any, dict[str, np.ndarray] | None]:
    """Views with zeros in rows that lack them; {name: bool[N]} of which rows have each.

    A row lacks a view where its values are all NaN, or masked in a NumPy masked array.
    Where some of them are it lacks these entries, and they are NaN in what is returned.
    None instead of the masks where no row lacks any; what is no array of numbers
    is left for ``as_arrays`` to refuse.

    Raises:
        ValueError: bytes of pictures that are masked in part; a view that no row has.
    """
    if not isinstance(views, Mapping):
        return views, None
    found, present = {}, {}
    for m, given in views.items():
        x = np.ma.asarray(given)
        if x.dtype.kind not in "biuf" or not x.ndim or not x.size:
            return views, None
        rows = x.reshape(len(x), -1)
        masked = np.ma.getmaskarray(rows)
        partly = masked.any(axis=1) & ~masked.all(axis=1)
        if partly.any() and x.dtype == np.uint8 and x.ndim == 4:
            raise ValueError(
                f"`views.{m}`: row {int(np.argmax(partly))} masks some of its bytes, "
                "expected all of them or none, or floats"
            )
        x = with_nan(x, f"views.{m}")
        rows = x.reshape(len(x), -1)
        absent = np.isnan(rows).all(axis=1) if x.dtype.kind == "f" else masked.all(1)
        if absent.all():
            raise ValueError(f"`views.{m}` is missing in all rows, expected it in some")
        present[m], found[m] = ~absent, np.asarray(x)
        if absent.any():
            found[m] = found[m].copy()
            found[m][absent] = 0
    sizes = {len(has) for has in present.values()}
    is_whole = all(has.all() for has in present.values()) or len(sizes) > 1
    return found, None if is_whole else present


def with_nan(x: Any, argument: str) -> Any:
    """A masked array as floats that are NaN where it is masked; all else as it is.

    Bytes of pictures stay what they are, whatever is masked.
    """
    if not np.ma.is_masked(x):
        return x.data if isinstance(x, np.ma.MaskedArray) else x
    if x.dtype.kind not in "biuf" or (x.dtype == np.uint8 and x.ndim == 4):
        return x.data
    if x.dtype.kind in "iu":
        as_array(x.filled(0), argument)  # refuses what float32 cannot hold
    return x.astype(np.float64 if x.dtype.kind != "f" else x.dtype).filled(np.nan)


def as_labels(
    labels: Any, num_rows: int, num_classes: int | None = None
) -> tuple[np.ndarray, int]:
    """Labels i32[N] as ``dataset.check_labels`` has them, and the number of classes.

    ``num_classes`` None is one more than the largest label, at most N.
    """
    most = num_rows if num_classes is None else num_classes
    found = check_labels(labels, size=num_rows, num_classes=most, where="`labels`")
    return found, num_classes or int(found.max()) + 1


def write(
    folder: Path,
    views: Mapping[str, Any],
    labels: Any = None,
    seed: int = 0,
    scaling: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    covariates: Mapping[str, Any] | None = None,
) -> None:
    """Checks and converts arrays, and writes them as a data set.

    Rows are permuted by ``seed``; the first tenth of them is the split "test", the next
    one "validation", the rest "train"; in each they keep their order. ``scaling``
    {name: one of ``SCALINGS``} goes before ``scaling_rule``; ``classes`` are the names
    of the labels, where they have some; ``covariates`` {name: [N]} are as
    ``covariates.py`` has them. Where ``folder`` holds the same arrays already, they are
    left alone.

    Raises:
        ValueError: before anything is written: a bad seed; as ``take_absent``,
            ``as_arrays`` and ``as_labels``; fewer than two views or ``LEAST_ROWS``
            rows; rows without any view; a view that no training row has; a scaling that
            is unknown or does not go with the values; as ``covariates.find``; a
            covariate that is called as a view is; other data in ``folder``.
    """
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"`seed` is {seed!r}, expected an integer >= 0")
    arrays, labels, num_classes, present = _checked(views, labels)
    size = len(next(iter(arrays.values())))
    rows = split_rows(size, seed)
    types = {m: np.ma.asarray(views[m]).dtype for m in arrays}
    arrays, about = _converted(arrays, types, present, rows["train"], scaling or {})
    source = {
        "views": {m: checksum(x) for m, x in arrays.items()},
        "labels": None if labels is None else checksum(labels),
        "seed": seed,
    }
    if present:
        source["present"] = {m: checksum(x) for m, x in present.items()}
    columns = None
    if covariates:
        found = _covariates_of(covariates, arrays, size, rows["train"])
        columns = covariates_of.columns(found, covariates, size, "covariates")
        source["covariates"] = checksum(columns)
        about["covariates"] = covariates_of.to_json(found)
    if (folder / manifest.NAME).exists():
        if manifest.read(folder).get("source") == source:
            return
        raise ValueError(
            f"{folder} holds other data, or another seed's splits or another scaling "
            "of them: expected the same, or another `workdir`"
        )

    def part(split: str) -> record_files.Part:
        chosen = rows[split]
        return record_files.Part(
            {m: x[chosen] for m, x in arrays.items()},
            None if labels is None else labels[chosen],
            present and {m: of[chosen] for m, of in present.items()},
            None if columns is None else columns[chosen],
        )

    record_files.write(
        folder,
        name="own",
        num_classes=num_classes,
        splits={split: [part(split)] for split in SPLITS},
        about={"source": source, "classes": list(classes), **about},
        partial=[m for m, x in arrays.items() if _has_nan(x)],
    )


def _checked(views: Any, labels: Any) -> tuple[Any, Any, int | None, Any]:
    """Arrays, labels, the number of classes, and which rows have which view."""
    filled, present = take_absent(views)
    arrays = as_arrays(filled, partial=filled if isinstance(filled, Mapping) else ())
    size = len(next(iter(arrays.values())))
    if len(arrays) < 2:
        raise ValueError(
            f"`views` has {list(arrays)} alone, expected two or more views"
        )
    if size < LEAST_ROWS:
        raise ValueError(f"`views` have {size} rows, expected {LEAST_ROWS} or more")
    if labels is None:
        return arrays, None, None, present
    return arrays, *as_labels(labels, size), present


def _covariates_of(
    given: Any, arrays: Mapping[str, Any], size: int, train: np.ndarray
) -> tuple[covariates_of.Covariate, ...]:
    if not isinstance(given, Mapping):
        got = type(given).__name__
        raise ValueError(f"`covariates` is {got}, expected {{name: values [N]}}")
    if shared := sorted(set(map(str, given)) & set(arrays)):
        raise ValueError(
            f"`covariates` has {shared}, which are views too, expected other names"
        )
    return covariates_of.find(given, size, train, "covariates")


def _converted(
    arrays: dict[str, np.ndarray],
    types: Mapping[str, np.dtype],
    present: Mapping[str, np.ndarray] | None,
    train: np.ndarray,
    scaling: Mapping[str, str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays as a model reads them, and what the manifest says of them."""
    known = _rows_to_learn_from(train, list(arrays), present)
    ranges, kinds = {}, {}
    for m, x in arrays.items():
        there = x if present is None else x[present[m]]
        ranges[m] = [float(np.nanmin(there)), float(np.nanmax(there))]
        if scaling.get(m, "none") == "none" and (kind := kind_of(types[m], there)):
            kinds[m] = kind
    rules = _check_scaling(arrays, dict.fromkeys(kinds, "none") | dict(scaling))
    scalings = {
        m: _scaling_of(arrays[m][known[m]], rule)
        for m, rule in rules.items()
        if rule != "none"
    }
    arrays = {m: _to_model(x, scalings.get(m)) for m, x in arrays.items()}
    spread = {
        m: _spread(x[known[m]]) for m, x in arrays.items() if x.dtype == np.float32
    }
    scaled = {m: to_json(of) for m, of in scalings.items()}
    about = {"scaling": scaled, "spread": spread, "ranges": ranges}
    return arrays, about | ({"kinds": kinds} if kinds else {})


def _has_nan(x: np.ndarray) -> bool:
    return x.dtype.kind == "f" and bool(np.isnan(x).any())


def _spread(x: np.ndarray) -> float:
    """Mean of the standard deviations of all entries, over values that are there."""
    if not _has_nan(x):
        return float(x.std(axis=0, dtype=np.float64).mean())
    known = x[:, (~np.isnan(x)).any(axis=0)]
    return float(np.nanstd(known, axis=0, dtype=np.float64).mean())


def scaling_rule(x: np.ndarray) -> str:
    """The one of ``SCALINGS`` for a view as ``as_array`` has it, without a choice."""
    is_unit = x.dtype == np.uint8 or not ((x < 0) | (x > 1)).any()
    return "none" if is_unit else "standardise"


def _check_scaling(
    arrays: Mapping[str, np.ndarray], chosen: Mapping[str, str]
) -> dict[str, str]:
    """{view: its rule}, chosen or not; ValueError where a choice does not fit."""
    for m, rule in chosen.items():
        field = f"data.scaling.{m}"
        if m not in arrays:
            raise ValueError(unknown(field, arrays))
        if rule not in SCALINGS:
            raise ValueError(f"`{field}` is {rule!r}, expected {among(rule, SCALINGS)}")
        if rule != "none" and arrays[m].dtype == np.uint8:
            raise ValueError(f"`{field}` is {rule!r}, expected 'none' of bytes")
        is_low = (arrays[m] < 0).reshape(len(arrays[m]), -1).any(axis=1)
        if rule == "log1p" and is_low.any():
            row = int(np.argmax(is_low))
            raise ValueError(
                f"`{field}` is 'log1p', but row {row} of `views.{m}` has "
                f"{arrays[m][row].min():g}: expected values >= 0"
            )
    return {m: chosen.get(m) or scaling_rule(x) for m, x in arrays.items()}


def _rows_to_learn_from(
    train: np.ndarray, names: list[str], present: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """{name: training rows that have the view}; ValueError where there are none."""
    if present is None:
        return dict.fromkeys(names, train)
    has_any = np.any(list(present.values()), axis=0)
    if not has_any.all():
        row = int(np.argmin(has_any))
        raise ValueError(f"`views`: row {row} has no view, expected one or more")
    known = {m: train[present[m][train]] for m in names}
    if rare := [m for m in names if not len(known[m])]:
        raise ValueError(
            f"`views` {rare} are missing in all training rows, expected them in some"
        )
    return known


def split_rows(size: int, seed: int) -> dict[str, np.ndarray]:
    """{split: rows of it}, disjoint, in ascending order."""
    order = generator(seed, "own", "splits").permutation(size)
    num = max(round(HELD_OUT * size), 1)
    parts = {
        "train": order[2 * num :],
        "validation": order[num : 2 * num],
        "test": order[:num],
    }
    return {split: np.sort(part) for split, part in parts.items()}


def to_model(
    dataset: Dataset, views: Mapping[str, Any], argument: str
) -> dict[str, Any]:
    """New rows of some modalities as a model reads them: {m: f32[N, *shape]}.

    ``views`` are in the user's units, bytes of pictures are x / 255. The covariates of
    the rows are among them, by their names; they become f32[N, K] under ``COVARIATES``.
    The splits of ``dataset``, on which the model was trained, are not read.

    Raises:
        ValueError: as ``as_arrays``; an unknown name; another shape; pictures outside
            [0, 1] for a model that knows none; entries missing, NaN or masked, of a
            view that lacked none in training; a row that lacks them all; as
            ``covariates.columns``.
    """
    views, beside = take_covariates(dataset, views, argument)
    if isinstance(views, Mapping):
        views = {m: with_nan(x, f"{argument}.{m}") for m, x in views.items()}
    arrays = as_arrays(views, argument, dataset.partial)
    known = sorted(dataset.shapes)
    if foreign := sorted(set(arrays) - set(known)):
        raise ValueError(f"`{argument}` has {foreign}, expected some of {known}")
    found = {}
    for m, x in arrays.items():
        shape, scaling = tuple(dataset.shapes[m]), dataset.scaling.get(m)
        if x.shape[1:] != shape:
            raise ValueError(
                f"`{argument}.{m}` has shape {x.shape}, expected {(len(x), *shape)}"
            )
        if m in dataset.partial:
            is_empty = np.isnan(x).reshape(len(x), -1).all(axis=1)
            if is_empty.any():
                raise ValueError(
                    f"`{argument}.{m}` has nothing in row {int(np.argmax(is_empty))}, "
                    "expected some entries of every row"
                )
        is_unit = m not in dataset.unbounded and scaling is None
        if x.dtype == np.uint8:
            x = x.astype(np.float32) * np.float32(1 / 255 if is_unit else 1)
        elif len(shape) == 3 and is_unit and ((x < 0) | (x > 1)).any():
            low, high = np.nanmin(x), np.nanmax(x)
            raise ValueError(
                f"`{argument}.{m}` goes from {low:g} to {high:g}, expected "
                "bytes, or floats in [0, 1]"
            )
        if scaling and scaling.rule == "log1p" and (x < 0).any():
            raise ValueError(
                f"`{argument}.{m}` has {np.nanmin(x):g}, expected values >= 0: the "
                "model reads log(1 + x) of them"
            )
        found[m] = _to_model(x, scaling)
    if dataset.covariates:
        size = len(next(iter(found.values())))
        found[COVARIATES] = covariates_of.columns(
            dataset.covariates, beside, size, argument
        )
    return found


def take_covariates(
    dataset: Dataset, rows: Any, argument: str
) -> tuple[Any, dict[str, Any]]:
    """Views alone, and {name: values} of the covariates that ``dataset`` knows.

    Raises:
        ValueError: some of the covariates are missing.
    """
    if not dataset.covariates or not isinstance(rows, Mapping):
        return rows, {}
    known = [covariate.name for covariate in dataset.covariates]
    if missing := [name for name in known if name not in rows]:
        raise ValueError(
            f"`{argument}` lacks the covariates {missing}, expected them of every row "
            "beside its views"
        )
    views = {m: x for m, x in rows.items() if m not in known}
    return views, {name: rows[name] for name in known}


def to_user(dataset: Dataset, views: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A model's values {m: f32[..., *shape]} in the units of the data."""
    scaling = dataset.scaling
    return {m: scaling[m].to_user(x) if m in scaling else x for m, x in views.items()}


def log_volume(dataset: Dataset, views: Mapping[str, np.ndarray]) -> np.ndarray:
    """log |∂ user's units / ∂ model's| of these views together, nats, of each row.

    ``views`` {m: f32[N, *shape]} are a model's values, of one view or more; returns
    f64[N].
    """
    total = np.zeros(len(next(iter(views.values()))))
    for m in filter(dataset.scaling.__contains__, views):
        total += dataset.scaling[m].log_volume(views[m])
    return total


def to_json(scaling: Scaling) -> dict[str, Any]:
    """A scaling as JSON has it; ``record_files.scaling_of`` reads it."""
    mean, scale = scaling.mean.tolist(), scaling.scale.tolist()
    return {"rule": scaling.rule, "mean": mean, "scale": scale}


def _scaling_of(x: np.ndarray, rule: str) -> Scaling:
    """Mean and standard deviation over all but the last axis; 1 for a constant."""
    x = np.log1p(x) if rule == "log1p" else x
    axes = tuple(range(x.ndim - 1))
    if _has_nan(x):
        there = np.ma.masked_invalid(x.astype(np.float64))
        # Of a feature that no training row has, as of a constant: 1, and 0 its mean.
        mean, scale = there.mean(axes).filled(0.0), there.std(axes).filled(0.0)
    else:
        mean, scale = x.mean(axes, dtype=np.float64), x.std(axes, dtype=np.float64)
    scale = np.where(scale > 1e-6 * np.abs(mean), scale, 1.0)
    return Scaling(mean.astype(np.float32), scale.astype(np.float32), rule)


def _to_model(x: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    return x if scaling is None else scaling.to_model(x)
