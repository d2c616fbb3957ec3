"""MuData files (.h5mu): modalities of the same cells; the extra ``mudata``.

A modality is a view, its X [cells, features], dense or sparse. Rows are ``obs`` of the
file, in their order; a cell that a modality lacks, lacks that view. X of floats that
are all whole, as counts are often kept, is read as integers.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jnf_jax.data.csv_files import Joined
from jnf_jax.names import check_names
from jnf_jax.runtime.files import user_path


def read(
    path: Path, argument: str, taken: Mapping[str, str] = MappingProxyType({})
) -> Joined:
    """The views; and columns of ``obs``, as in ``csv_files.read``; names of cells.

    Views are arrays [N, features], masked in rows of cells that the modality lacks. A
    column may be that of the file or of one modality.

    Raises:
        ValueError: a damaged file, or none; cells whose names are not distinct; a
            modality without X; a column that is not there, or not of each cell.
    """
    data = _opened(path, argument)
    if not data.n_mod or not data.n_obs:
        raise ValueError(f"`{argument}` {path.name!r} has no cells, expected some")
    check_names(data.mod, f"`{argument}`")
    views = {}
    for m, of in data.mod.items():
        where = f"`{argument}.{m}` ({path.name!r})"
        if of.X is None or not of.n_vars or not of.n_obs:
            raise ValueError(f"{where} has no X of cells and features, expected one")
        x = of.X.toarray() if hasattr(of.X, "toarray") else np.asarray(of.X)
        rows = _rows_of(data, of, where)
        if x.dtype.kind == "f" and (np.abs(x) < 2**24).all() and (x == x.round()).all():
            x = x.astype(np.int64)
        if len(rows) == data.n_obs:
            views[m] = np.empty_like(x)
        else:
            views[m] = np.ma.masked_all((data.n_obs, x.shape[1]), x.dtype)
            views[m].data[:] = 0
        views[m][rows] = x
    columns = {name: _column_of(data, name, of) for name, of in sorted(taken.items())}
    return Joined(views, columns, tuple(map(str, data.obs_names)))


def write(
    source: str | os.PathLike,
    out: str | os.PathLike,
    *,
    obsm: Mapping[str, np.ndarray] | None = None,
    layers: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Path:
    """Copies a .h5mu to ``out`` with a model's arrays beside what it holds.

    Rows of all arrays are those of ``read``: all cells of the file.

    Args:
        source: The file that was read.
        out: The file to write, which may be the same one.
        obsm: {name: [N, K]}, of the file: latents, or a view of cells that have none.
        layers: {modality: {name: [N, features]}}, of which the modality keeps its own
            cells.

    Raises:
        ValueError: As ``read``; an unknown modality; another shape.

    Example::

        cells = view_files.read("cells.h5mu")
        z = model.encode(cells.views)[0]
        mudata_file.write("cells.h5mu", "cells_jnf.h5mu", obsm={"X_jnf": z})
    """
    source, out = user_path(source, "source"), user_path(out, "out")
    if out.suffix != ".h5mu":
        raise ValueError(f"`out` is {str(out)!r}, expected a .h5mu")
    data = _opened(source, "source")
    for name, x in (obsm or {}).items():
        _check_shape(f"obsm.{name}", x, (data.n_obs, None))
        data.obsm[name] = np.asarray(x)
    for m, of_mod in (layers or {}).items():
        if m not in data.mod:
            raise ValueError(f"`layers` has {m!r}, expected one of {[*data.mod]}")
        of = data.mod[m]
        rows = _rows_of(data, of, f"`source.{m}`")
        for name, x in of_mod.items():
            _check_shape(f"layers.{m}.{name}", x, (data.n_obs, of.n_vars))
            of.layers[name] = np.asarray(x)[rows]
    partial = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        _quietly(lambda: data.write(partial))
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return out


def _opened(path: Path, argument: str) -> Any:
    try:
        import mudata
    except ImportError as error:
        raise ValueError(
            f"`{argument}` is {str(path)!r}, which the extra mudata reads: install "
            "jnf_jax[mudata]"
        ) from error
    try:
        data = _quietly(lambda: mudata.read_h5mu(path))
    except Exception as error:  # h5py, anndata and pandas each have their own
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"`{argument}` {str(path)!r} is no .h5mu: {told}") from error
    if not data.obs_names.is_unique:
        twice = data.obs_names[data.obs_names.duplicated()][0]
        raise ValueError(f"`{argument}`: the cell {twice!r} is there twice")
    return data


def _quietly(action: Callable[[], Any]) -> Any:
    """``action()`` without what the libraries warn of their own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        return action()


def _rows_of(data: Any, of: Any, where: str) -> np.ndarray:
    """The row of each cell of a modality among all cells."""
    rows = data.obs_names.get_indexer(of.obs_names)
    if not of.obs_names.is_unique or (rows < 0).any():
        raise ValueError(f"{where} has cells twice or beyond those of the file")
    return rows


def _column_of(data: Any, name: str, argument: str) -> np.ndarray:
    """A column of ``obs`` as integers or text [N]."""
    columns = {str(column): data.obs[column] for column in data.obs.columns}
    for of in data.mod.values():
        if name in of.obs.columns and name not in columns:
            columns[name] = of.obs[name].reindex(data.obs_names)
    if name not in columns:
        raise ValueError(
            f"`{argument}` is {name!r}, expected a column of `obs`: {sorted(columns)}"
        )
    column = columns[name]
    if column.isna().any():
        cell = column.index[column.isna()][0]
        raise ValueError(f"`{argument}`: the cell {cell!r} has none in {name!r}")
    x = column.to_numpy()
    return x if x.dtype.kind in "iuf" else x.astype(str)


def _check_shape(argument: str, x: Any, shape: tuple[int | None, ...]) -> None:
    got = np.shape(x)
    if len(got) != len(shape) or any(
        b is not None and a != b for a, b in zip(got, shape, strict=True)
    ):
        expected = ["any" if n is None else n for n in shape]
        raise ValueError(f"`{argument}` has shape {got}, expected {expected}")
