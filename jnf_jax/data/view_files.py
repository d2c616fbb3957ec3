"""Views of one's own in files, as ``jnf_jax.fit`` and ``train`` take them.

============================  ========================================================
FILE.npz                      an array a view
a folder of .npy files        a file a view, which is named as the file is
a folder of .csv files, or    a file a view, whose lines are joined by an id column:
{view: FILE.csv}              `csv_files.py`
FILE.h5mu                     a modality a view, cells joined by name:
                              `mudata_file.py`
============================  ========================================================

An array, a column, or a column of ``obs`` may be the labels, by its name, or one of the
covariates; text of labels becomes integers in alphabetical order. What arrays may be is
told in `own.py` and `covariates.py`. Nothing is unpickled.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.data import csv_files, manifest, mudata_file
from jnf_jax.names import check_names
from jnf_jax.options import among
from jnf_jax.runtime.files import read_arrays, user_path

KINDS = "a .npz, a .h5mu, or a folder of .npy or of .csv files"


class Given(NamedTuple):
    """What files hold, not checked yet.

    Attributes:
        views: {name: array}, masked where a row lacks a view.
        labels: Integers, or None.
        classes: The names of the labels, where they were text.
        covariates: {name: values [N]} of those that were asked for.
        ids: Of the rows, where the files have some.
    """

    views: dict[str, Any]
    labels: Any = None
    classes: tuple[str, ...] = ()
    covariates: Mapping[str, Any] = MappingProxyType({})
    ids: tuple[str, ...] = ()


def are_files(views: Any) -> bool:
    """Whether these are paths, not arrays: one, or one a view."""
    if isinstance(views, Mapping):
        return any(isinstance(x, str | os.PathLike) for x in views.values())
    return isinstance(views, str | os.PathLike)


def is_data_set(path: str | os.PathLike) -> bool:
    """Whether it is a folder that needs no conversion (`record_files.write`)."""
    return (user_path(path, "path") / manifest.NAME).is_file()


def read(
    views: Any,
    argument: str = "views",
    labels: str = "",
    id_column: str = "",
    covariates: Sequence[str] = (),
) -> Given:
    """The views and labels in files; ``argument`` is the user's name for them.

    Args:
        views: A path, or {view: path of a .csv}.
        labels: The name of what holds the labels; "": nothing does.
        id_column: Of CSV files; "" is the first.
        covariates: The names of what holds covariates.

    Raises:
        ValueError: no such file, or of another kind; a name that ``check_names``
            refuses; a damaged file, or one with objects; labels or covariates that are
            not there; as ``csv_files.read`` and ``mudata_file.read``.
    """
    if isinstance(views, Mapping):
        paths = _paths_of(views, argument)
    else:
        path = user_path(views, argument)
        if path.is_dir():
            paths = _paths_in(path, argument)
        elif path.is_file() and path.suffix in (".npz", ".h5mu"):
            paths = {"": path}
        else:
            is_there = "" if path.exists() else ", which is not there"
            raise ValueError(
                f"`{argument}` is {str(path)!r}{is_there}, expected {KINDS}"
            )
    kind = next(iter(paths.values())).suffix
    if id_column and kind != ".csv":
        raise ValueError(f"`data.id_column` is {id_column!r}, expected '' of {kind}")
    wanted = dict.fromkeys(covariates, "covariates")
    wanted |= {labels: "labels"} if labels else {}
    if kind == ".h5mu":
        found, taken, ids = mudata_file.read(paths[""], argument, wanted)
    elif kind == ".csv":
        found, taken, ids = csv_files.read(paths, argument, wanted, id_column)
    else:
        found = _arrays_in(paths[""]) if kind == ".npz" else _arrays_of(paths)
        taken = {name: _taken(found, name, of) for name, of in sorted(wanted.items())}
        ids = ()
    of_rows = {name: _as_numbers(taken[name]) for name in covariates}
    return Given(found, *_as_integers(taken.get(labels)), of_rows, ids)


def _paths_of(views: Mapping[str, Any], argument: str) -> dict[str, Path]:
    check_names(views, f"`{argument}`")
    for m, path in views.items():
        is_path = isinstance(path, str | os.PathLike)
        if not is_path or Path(path).suffix != ".csv" or not Path(path).is_file():
            got = repr(os.fspath(path)) if is_path else type(path).__name__
            raise ValueError(
                f"`{argument}.{m}` is {got}, expected a .csv file that is there, as of "
                "all views, or arrays of all"
            )
    return {m: user_path(path, f"{argument}.{m}") for m, path in views.items()}


def _paths_in(folder: Path, argument: str) -> dict[str, Path]:
    """{name: path} of the .npy or of the .csv files of a folder."""
    files = [p for p in sorted(folder.iterdir()) if p.is_file() and p.name[0] != "."]
    found = {kind: [p for p in files if p.suffix == kind] for kind in (".npy", ".csv")}
    if all(found.values()) or not any(found.values()):
        both = "both .npy and .csv" if any(found.values()) else "neither .npy nor .csv"
        raise ValueError(
            f"`{argument}` {str(folder)!r} holds {both} files, expected {KINDS}"
        )
    paths = {path.stem: path for path in found[".npy"] or found[".csv"]}
    check_names(paths, f"`{argument}`")
    return paths


def _arrays_in(path: Path) -> dict[str, np.ndarray]:
    found = read_arrays(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path} is a .npy by its content, expected a .npz")
    return found


def _arrays_of(paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    arrays = {m: read_arrays(path) for m, path in paths.items()}
    for m, x in arrays.items():
        if isinstance(x, dict):
            raise ValueError(f"{paths[m]} is a .npz by its content, expected a .npy")
    return arrays


def _taken(arrays: dict[str, Any], name: str, argument: str) -> Any:
    """Removes what is no view from the arrays and returns it."""
    if name not in arrays:
        raise ValueError(f"`{argument}` is {name!r}, expected {among(name, arrays)}")
    return arrays.pop(name)


def _as_numbers(x: np.ndarray) -> np.ndarray:
    """Text of CSV files as numbers, where all of it is; else as it is."""
    if x.dtype.kind != "U":
        return x
    try:
        return x.astype(np.float64)
    except ValueError:
        return x


def _as_integers(labels: Any) -> tuple[Any, tuple[str, ...]]:
    """Text as the number of each among all, sorted, and these; numbers as they are."""
    if labels is None or labels.dtype.kind != "U" or not labels.size:
        return labels, ()
    classes, found = np.unique(labels, return_inverse=True)
    return found, tuple(map(str, classes))
