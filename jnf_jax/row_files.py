"""Rows in files go through a model, for the programs ``sample`` and ``impute``.

They are read as ``fit`` reads them (``data/view_files.py``), and the covariates of a
model by their names. What was drawn goes to a .npz, to which rows that have ids bring
these as "rows.ids".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnf_jax import api
from jnf_jax.data import mudata_file, view_files
from jnf_jax.experiments import new_rows, run_folder
from jnf_jax.runtime.files import npz, try_file, write_whole


class RowFiles(NamedTuple):
    """Where rows are, and what is no view there.

    Attributes:
        path: A .npz, a .h5mu, or a folder of .npy or of .csv files.
        labels: What holds labels, which no model reads; "": nothing does.
        id_column: Of CSV files; "" is the first.
    """

    path: Path
    labels: str = ""
    id_column: str = ""


def generate_file(
    folder: Path, rows: RowFiles, out: Path, *, num_samples: int, seed: int, noise: bool
) -> None:
    """``load(folder).generate`` from rows in files to draws in a .npz.

    Where they come from a product of posteriors the file also has "chains.acceptance",
    "chains.divergences", "chains.distance" and "chains.is_suspect", [K, N]: see
    ``new_rows.Chains``.

    Raises:
        ValueError: ``out`` is no .npz; or as ``view_files.read``, ``load`` and
            ``Model.generate``.
    """
    _check_npz(out, "--out", " with --given-file")
    given, ids = _read(folder, rows, "--given-file")
    options = dict(num_samples=num_samples, seed=seed, noise=noise)
    found, chains = api.load(folder).generate_and_judge(given, **options)
    write_whole(out, npz(found | ids | _chain_arrays(chains)))


def impute_file(
    folder: Path,
    rows: RowFiles,
    out: Path,
    *,
    num_samples: int,
    seed: int,
    noise: bool,
    latent: Path | None = None,
) -> None:
    """``load(folder).impute`` from rows in files to completed ones in a .npz.

    ``out`` holds every view under its name, complete; for each view NAME with holes
    also NAME.missing, .mean, .sd, .quantiles and .draws, as in ``imputation.Imputed``;
    and of draws of products what ``generate_file`` writes of their chains. ``latent``
    is the .npz that gets the mean and the sd of z, f32[N, D]; None: nothing does.

    Rows of a .h5mu may go to another .h5mu, a copy of it with more: of each view with
    holes NAME_imputed and NAME_imputed_sd of all cells in ``obsm``, the first also as
    the layer "imputed" of the modality's own cells; and the mean of z as ``X_jnf``.

    Raises:
        ValueError: ``out`` or ``latent`` is no .npz; or as ``view_files.read``,
            ``load`` and ``Model.impute``.
    """
    to_mudata = {out.suffix, rows.path.suffix} == {".h5mu"}
    if to_mudata:
        try_file(out, "--out")
    else:
        _check_npz(out, "--out")
    if latent is not None:
        _check_npz(latent, "--latent")
    partial, ids = _read(folder, rows, "--input")
    model, options = api.load(folder), dict(num_samples=num_samples, seed=seed)
    found = model.impute(partial, **options, noise=noise)
    z = None
    if latent is not None or to_mudata:
        z = model.latent(partial, **options)
    if latent is not None:
        write_whole(latent, npz(z._asdict()))
    if to_mudata:
        filled = {f"{m}_imputed": found.views[m] for m in found.draws}
        spread = {f"{m}_imputed_sd": found.sd[m] for m in found.draws}
        layers = {m: {"imputed": found.views[m]} for m in found.draws if m in partial}
        obsm = filled | spread | {"X_jnf": z.mean}
        mudata_file.write(rows.path, out, obsm=obsm, layers=layers)
        return
    about = {
        f"{m}.{field}": getattr(found, field)[m]
        for m in found.draws
        for field in ("missing", "mean", "sd", "quantiles", "draws")
    }
    write_whole(out, npz(found.views | about | ids | _chain_arrays(found.chains)))


def _check_npz(out: Path, flag: str, when: str = "") -> None:
    if out.suffix != ".npz":
        raise ValueError(f"`{flag}` is {str(out)!r}, expected a .npz{when}")
    try_file(out, flag)


def _read(
    folder: Path, rows: RowFiles, flag: str
) -> tuple[Mapping[str, Any], dict[str, np.ndarray]]:
    """Views and covariates by name, as the model in ``folder`` takes them; the ids."""
    known = run_folder.covariate_names(folder)
    found = view_files.read(rows.path, flag, rows.labels, rows.id_column, known)
    ids = {"rows.ids": np.array(found.ids)} if found.ids else {}
    return {**found.views, **found.covariates}, ids


def _chain_arrays(chains: new_rows.Chains | None) -> dict[str, np.ndarray]:
    """What a file holds of how draws came about; a view's name has no dot."""
    if chains is None:
        return {}
    found = {f"chains.{name}": x for name, x in chains._asdict().items()}
    return found | {"chains.is_suspect": chains.is_suspect}
