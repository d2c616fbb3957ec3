"""Rows in files go through a model, for the programs ``sample`` and ``impute``."""

from pathlib import Path

import numpy as np

from jnf_jax import api
from jnf_jax.experiments import new_rows
from jnf_jax.runtime.files import npz, read_arrays, try_file, write_whole


def generate_file(
    folder: Path, rows: Path, out: Path, *, num_samples: int, seed: int, noise: bool
) -> None:
    """``load(folder).generate`` from rows in a .npz to draws in another.

    Where they come from a product of posteriors the file also has "chains.acceptance",
    "chains.divergences", "chains.distance" and "chains.is_suspect", [K, N]: see
    ``new_rows.Chains``.

    Raises:
        ValueError: ``rows`` holds no arrays of numbers, ``out`` is no .npz; or as
            ``load`` and ``Model.generate``.
    """
    _check_npz(out, "--out", " with --given-file")
    given = _rows_in(rows, "--given-file")
    options = dict(num_samples=num_samples, seed=seed, noise=noise)
    found, chains = api.load(folder).generate_and_judge(given, **options)
    write_whole(out, npz(found | _chain_arrays(chains)))


def impute_file(
    folder: Path,
    rows: Path,
    out: Path,
    *,
    num_samples: int,
    seed: int,
    noise: bool,
    latent: Path | None = None,
) -> None:
    """``load(folder).impute`` from rows in a .npz to completed ones in another.

    ``out`` holds every view under its name, complete; for each view NAME with holes
    also NAME.missing, .mean, .sd, .quantiles and .draws, as in ``imputation.Imputed``;
    and of draws of products what ``generate_file`` writes of their chains. ``latent``
    is the .npz that gets the mean and the sd of z, f32[N, D]; None: nothing does.

    Raises:
        ValueError: ``rows`` holds no arrays of numbers, ``out`` or ``latent`` is no
            .npz; or as ``load`` and ``Model.impute``.
    """
    _check_npz(out, "--out")
    if latent is not None:
        _check_npz(latent, "--latent")
    partial, model = _rows_in(rows, "--input"), api.load(folder)
    options = dict(num_samples=num_samples, seed=seed)
    found = model.impute(partial, **options, noise=noise)
    about = {
        f"{m}.{field}": getattr(found, field)[m]
        for m in found.draws
        for field in ("missing", "mean", "sd", "quantiles", "draws")
    }
    write_whole(out, npz(found.views | about | _chain_arrays(found.chains)))
    if latent is not None:
        write_whole(latent, npz(model.latent(partial, **options)._asdict()))


def _check_npz(out: Path, flag: str, when: str = "") -> None:
    if out.suffix != ".npz":
        raise ValueError(f"`{flag}` is {str(out)!r}, expected a .npz{when}")
    try_file(out, flag)


def _rows_in(path: Path, flag: str) -> dict[str, np.ndarray]:
    """{view: array} of a file that a program was given as ``flag``."""
    found = read_arrays(path)
    if not isinstance(found, dict):
        raise ValueError(f"`{flag}` {path} is a .npy, expected a .npz")
    return found


def _chain_arrays(chains: new_rows.Chains | None) -> dict[str, np.ndarray]:
    """What a file holds of how draws came about; a view's name has no dot."""
    if chains is None:
        return {}
    found = {f"chains.{name}": x for name, x in chains._asdict().items()}
    return found | {"chains.is_suspect": chains.is_suspect}
