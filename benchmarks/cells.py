"""Protein of cells that have RNA alone: a MuData file there and back, beside rivals.

    python -m benchmarks.cells --out cells.json

Cells are generated: 8 latents around the centres of 6 types; RNA of 200 genes, negative
binomial with a depth of the cell's own, and protein of 20 markers, negative binomial
with a mean that is no linear function of the latents in logarithms. 30 % of the 3,000
cells have no protein. They are written to a .h5mu, which ``fit`` reads with one flow
for every subset and the totals of RNA as size factors; what ``impute`` says of them
goes back into a copy of the file, and is read from there.

Rivals learn from the other cells: ridge regression with a penalty chosen by
cross-validation, and the 15 nearest neighbours in 30 principal components; both read
log(1 + counts of RNA per median total), and predict log(1 + protein).

``r2`` is 1 − Σ (y − ŷ)² / Σ (y − ȳ)² over hidden entries, y = log(1 + counts), ȳ the
mean of the marker in the cells that have it; ours is the mean of log(1 + draw).
``correlation`` is over cells, averaged over markers; ``coverage`` the share of hidden
entries in central 90 % intervals; ``best`` is log(1 + the true mean).
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measuring

Cells = dict[str, np.ndarray]

MISSING = 0.3


def generate(num_cells: int, num_genes: int, num_markers: int, seed: int) -> Cells:
    """Counts "rna" and "protein" [N, ·], the mean of protein, and who lacks it."""
    rng, size = np.random.default_rng(seed), 8
    centres = 1.5 * rng.standard_normal((6, size))
    kind = rng.integers(6, size=num_cells)
    z = centres[kind] + 0.6 * rng.standard_normal((num_cells, size))

    def counts(mean: np.ndarray, inverse_dispersion: float) -> np.ndarray:
        spread = rng.gamma(inverse_dispersion, 1 / inverse_dispersion, mean.shape)
        return rng.poisson(mean * spread)

    share = np.exp(0.5 * z @ rng.standard_normal((size, num_genes)) / size**0.5)
    share *= np.exp(rng.normal(0, 1, num_genes))
    depth = 1_000 * np.exp(rng.normal(0, 0.4, num_cells))
    rna = depth[:, None] * share / share.sum(axis=1, keepdims=True)
    x = z @ rng.standard_normal((size, num_markers)) / size**0.5
    mean = np.exp(2.5 + np.tanh(1.5 * x) + 0.3 * x)
    return {
        "rna": counts(rna, 10.0),
        "protein": counts(mean, 10.0),
        "mean": mean,
        "lacks": rng.uniform(size=num_cells) < MISSING,
    }


def write(cells: Cells, path: Path) -> None:
    """A .h5mu in which the modality "protein" has the cells that do not lack it."""
    import anndata
    import mudata
    import pandas

    names = [f"cell{row}" for row in range(len(cells["rna"]))]
    obs = pandas.DataFrame(index=names)
    has = ~cells["lacks"]
    mods = {
        "rna": anndata.AnnData(cells["rna"].astype(np.float32), obs),
        "protein": anndata.AnnData(
            cells["protein"][has].astype(np.float32), obs.iloc[np.flatnonzero(has)]
        ),
    }
    mudata.MuData(mods).write(path)


def ours(cells: Cells, small: bool) -> dict[str, Any]:
    """``fit``, ``impute``, and what the file says of the cells afterwards."""
    import mudata

    import jnf_jax
    from jnf_jax.data import mudata_file, view_files

    options = {
        "subset_posterior.name": "amortised",
        "stages": "joint,subsets",
        "subsets": dict(num_steps=1_000, batch_size=64),
        "model.likelihoods.rna.median_total": float(np.median(cells["rna"].sum(1))),
    }
    if small:
        options |= {"joint.num_steps": 5, "subsets": dict(num_steps=5, batch_size=64)}
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "cells.h5mu", Path(folder) / "filled.h5mu"
        write(cells, path)
        begin = time.monotonic()
        model = jnf_jax.fit(path, workdir=Path(folder) / "run", overrides=options)
        seconds = time.monotonic() - begin
        rows = view_files.read(path).views
        found = model.impute(rows)
        obsm = {"protein_imputed": found.views["protein"]}
        layers = {"protein": {"imputed": found.views["protein"]}}
        mudata_file.write(path, out, obsm=obsm, layers=layers)
        back = mudata.read_h5mu(out)
    kept = back.obsm["protein_imputed"]
    has, own = ~cells["lacks"], back["protein"].layers["imputed"]
    is_whole = np.array_equal(kept[has], cells["protein"][has])
    if not is_whole or not np.array_equal(own, cells["protein"][has]):
        raise SystemExit("the file has other protein than was measured")
    hidden, quantiles = cells["lacks"], found.quantiles["protein"][:, cells["lacks"]]
    truth = cells["protein"][hidden]
    is_covered = (truth >= quantiles[0]) & (truth <= quantiles[2])
    predicted = np.log1p(found.draws["protein"][:, hidden]).mean(axis=0)
    about = {"coverage": float(is_covered.mean()), "training_seconds": seconds}
    return score(cells, predicted) | about


def rivals(cells: Cells) -> dict[str, dict[str, float]]:
    """Ridge and nearest neighbours, from RNA to protein, both in logarithms."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import RidgeCV
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    total = cells["rna"].sum(axis=1, keepdims=True)
    x = np.log1p(cells["rna"] * (np.median(total) / np.maximum(total, 1)))
    has, y = ~cells["lacks"], np.log1p(cells["protein"])
    num_parts = min(30, x.shape[1])
    neighbours = KNeighborsRegressor(15, weights="distance")
    known = {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 11))),
        "knn": make_pipeline(PCA(num_parts, random_state=0), neighbours),
    }
    return {
        name: score(cells, model.fit(x[has], y[has]).predict(x[~has]))
        for name, model in known.items()
    }


def score(cells: Cells, predicted: np.ndarray) -> dict[str, float]:
    """Of log(1 + protein) of the cells that lack it."""
    y, hidden = np.log1p(cells["protein"]), cells["lacks"]
    truth, mean = y[hidden], y[~hidden].mean(axis=0)
    left = np.sum((truth - predicted) ** 2) / np.sum((truth - mean) ** 2)
    both = zip(truth.T, predicted.T, strict=True)
    correlation = np.mean([np.corrcoef(a, b)[0, 1] for a, b in both])
    return {"r2": float(1 - left), "correlation": float(correlation)}


def main() -> None:
    """One set of cells; ours and rivals."""
    flags = measuring.read_flags(__doc__)
    sizes = (200, 20, 4) if flags.small else (3_000, 200, 20)
    cells = generate(*sizes, seed=0)
    found = {"jnf": ours(cells, flags.small), **rivals(cells)}
    found["best"] = score(cells, np.log1p(cells["mean"][cells["lacks"]]))
    about = dict(zip(("cells", "genes", "markers"), sizes, strict=True))
    lacking = int(cells["lacks"].sum())
    measuring.write_record(
        flags, "cells", about | {"without_protein": lacking, "methods": found}
    )


if __name__ == "__main__":
    main()
