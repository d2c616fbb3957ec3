"""Views that rows lack, filled in: ours, and what a scientist would use instead.

    python -m benchmarks.imputation --out imputation.json
    python -m benchmarks.imputation --tables wine --seeds 0 --mofa-python DIR/bin/python

``fit`` with its defaults, then ``impute``; on the same rows scikit-learn's
IterativeImputer and KNNImputer, ridge regression fitted for each pattern of views (of
rows that have these and the target), probabilistic PCA by EM over what is there, and,
where ``--mofa-python`` names an interpreter that has mofapy2, MOFA+. Rivals read each
column standardised by the training rows, and counts as log(1 + x).

Tables: ``linear``, x_m = W_m z + noise, of which the conditional mean is known
("exact"); ``nonlinear``, the same through tanh and squares; ``counts``, negative
binomial with a log-linear mean; and scikit-learn's wine, breast_cancer, diabetes and
digits, columns split into views. A case ``KIND.SHARE`` says how views are missing:
"random" each with that probability, "given" with one that rises with the first column
of the first view, which is always there. Rows to fill in are others than those that are
trained on, lack views by the same rule (by .3 of them where none is missing in
training), and each of them one view or more.

``r2`` is 1 − Σ (x − x̂)²/s² / Σ (x − x̄)²/s² over all hidden entries, x̄ and s of the
training rows; ``crps`` in units of s; ``coverage`` is the share of hidden entries in
central intervals of 90 %, where a method gives any. ``seconds`` are those of training,
``load`` what else ran.
"""

import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import measuring

Views = dict[str, np.ndarray]

CASES = ("random.0", "random.3", "random.6", "given.3")
MOFA_PROGRAM = Path(__file__).with_name("mofa_side.py")


class Table(NamedTuple):
    """Views [N, F] of all rows, and what is known of them.

    Attributes:
        views: {m: f64[N, F_m]}, what rivals read.
        ours: {m: [N, F_m]}, what ``fit`` reads.
        scale: From ours to theirs.
        conditional_mean: (views, given) -> {m: f64[N, F_m]}, of generated rows.
    """

    views: Views
    ours: Views
    scale: Callable[[np.ndarray], np.ndarray] = np.asarray
    conditional_mean: Callable | None = None


def generated(kind: str, seed: int, num_rows: int) -> Table:
    """Views of 3, 5, 4, 6, 2 and 4 columns that share four latents."""
    rng, size = np.random.default_rng((seed, len(kind))), 4
    z, views, loadings, noises = rng.standard_normal((num_rows, size)), {}, {}, {}
    for number, width in enumerate((3, 5, 4, 6, 2, 4)):
        m, noise = f"v{number}", rng.uniform(0.2, 0.8, width)
        loading = 1.5 * rng.standard_normal((size, width)) / size**0.5
        x = z @ loading
        if kind == "nonlinear":
            squares = (z @ rng.standard_normal((size, width))) ** 2 / size
            x = np.tanh(1.5 * x) + 0.3 * squares
        if kind == "counts":
            rate = np.exp(1.5 + 0.7 * x) * rng.gamma(5, 1 / 5, x.shape)
            x, noise = rng.poisson(rate), 0 * noise
        views[m] = x + noise * rng.standard_normal(x.shape) if noise.any() else x
        loadings[m], noises[m] = loading, noise
    if kind == "counts":
        return Table({m: np.log1p(x) for m, x in views.items()}, views, np.log1p)
    if kind == "nonlinear":
        return Table(views, views)

    def conditional_mean(rows: Views, given: tuple[str, ...]) -> Views:
        precision, pull = np.eye(size), 0.0
        for m in given:
            weighted = loadings[m] / noises[m] ** 2
            precision = precision + weighted @ loadings[m].T
            pull = pull + rows[m] @ weighted.T
        mean = np.linalg.solve(precision, np.transpose(pull)).T
        return {m: mean @ loading for m, loading in loadings.items()}

    return Table(views, views, conditional_mean=conditional_mean)


def of_sklearn(name: str, num_views: int) -> Table:
    """Columns in ``num_views`` parts; of digits the four quarters of the picture, and
    only pixels that are not 0 in a twentieth of the rows."""
    from sklearn import datasets

    x = getattr(datasets, f"load_{name}")(return_X_y=True)[0].astype(float)
    parts = np.array_split(np.arange(x.shape[1]), num_views)
    if name == "digits":
        row, column = np.divmod(np.arange(64), 8)
        quarter = 2 * (row // 4) + column // 4
        parts = [np.flatnonzero((quarter == k) & ((x != 0).mean(0) > 0.05))
                 for k in range(4)]  # fmt: skip
    views = {f"v{number}": x[:, part] for number, part in enumerate(parts)}
    return Table(views, views)


TABLES: dict[str, Callable[[int, int], Table]] = {
    **{
        kind: lambda seed, num, kind=kind: generated(kind, seed, num)
        for kind in ("linear", "nonlinear", "counts")
    },
    **{
        name: lambda seed, num, name=name, views=views: of_sklearn(name, views)
        for name, views in (
            *(("wine", 3), ("breast_cancer", 3), ("diabetes", 3), ("digits", 4)),
        )
    },
}
"""Name -> table of a seed with so many rows, where rows are generated."""


def hide(rng: np.random.Generator, views: Views, case: str, is_new: bool) -> Views:
    """{m: bool[N]}, which views rows lack; a row that is new lacks one or more."""
    kind, _, tenths = case.partition(".")
    share, names = int(tenths) / 10 or (0.3 if is_new else 0.0), sorted(views)
    num = len(views[names[0]])
    chance = np.full((num, len(names)), share)
    if kind == "given":
        x = views[names[0]][:, 0]
        rank = np.argsort(np.argsort(x)) / num
        chance = np.broadcast_to(2 * share * rank[:, None], chance.shape).copy()
        chance[:, 0] = 0.0
    absent = rng.uniform(size=chance.shape) < chance
    first = 0 if kind == "given" else rng.integers(len(names), size=num)
    absent[np.arange(num), first] = False  # each row has something
    if is_new:
        other = rng.integers(1, len(names), num)
        lacks_none = ~absent.any(axis=1)
        place = (first + other) % len(names)
        absent[lacks_none, np.broadcast_to(place, num)[lacks_none]] = True
    return {m: absent[:, i] for i, m in enumerate(names)}


def with_holes(views: Views, absent: Views) -> Views:
    """Floats, NaN where a row lacks a view; integers masked."""
    found = {}
    for m, x in views.items():
        lacks = np.broadcast_to(absent[m][:, None], x.shape)
        is_float = x.dtype.kind == "f"
        found[m] = (
            np.where(lacks, np.nan, x) if is_float else np.ma.array(x, mask=lacks)
        )
    return found


# --- methods: filled-in views, and draws or standard deviations ----------------------


class Filled(NamedTuple):
    """Means of rows to fill in; and their draws, or normal standard deviations."""

    mean: Views
    draws: Views | None = None
    sd: Views | None = None


def ours(
    table: Table, train: Views, new: Views, seed: int, overrides: dict, about: dict
) -> Filled:
    """``fit`` and ``impute``; what it took goes into ``about``."""
    import jnf_jax

    load, begin = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        model = jnf_jax.fit(train, seed=seed, workdir=workdir, overrides=overrides)
        about |= {"seconds": time.perf_counter() - begin, "load": load}
        found = model.impute(new, num_samples=400, seed=seed)
    draws = {m: table.scale(x) for m, x in found.draws.items()}
    return Filled({m: x.mean(axis=0) for m, x in draws.items()}, draws)


def _joined(views: Views) -> np.ndarray:
    return np.concatenate([views[m] for m in sorted(views)], axis=1)


def _parted(x: np.ndarray, like: Views) -> Views:
    ends = np.cumsum([like[m].shape[1] for m in sorted(like)])[:-1]
    return dict(zip(sorted(like), np.split(x, ends, axis=-1), strict=True))


def by_sklearn(imputer: Any) -> Callable[[Views, Views], Filled]:
    """A rival that is one of scikit-learn's imputers."""

    def fill(train: Views, new: Views) -> Filled:
        with warnings.catch_warnings(action="ignore"):
            filled = imputer.fit(_joined(train)).transform(_joined(new))
        return Filled(_parted(filled, new))

    return fill


def by_ridge(train: Views, new: Views) -> Filled:
    """A ridge regression for each pattern of given views and each target."""
    from sklearn.linear_model import RidgeCV

    has = {m: ~np.isnan(x).any(axis=1) for m, x in train.items()}
    mean = {m: np.where(np.isnan(x), 0.0, x) for m, x in new.items()}
    sd = {m: np.ones_like(x) for m, x in new.items()}
    for given, rows in patterns(new):
        x = _joined({m: new[m][rows] for m in given})
        for m in sorted(set(new) - set(given)):
            known = np.all([has[k] for k in (*given, m)], axis=0)
            if known.sum() < 10:
                continue  # the mean, and its deviation
            seen = _joined({k: train[k][known] for k in given})
            fitted = RidgeCV(np.logspace(-3, 3, 13)).fit(seen, train[m][known])
            mean[m][rows] = fitted.predict(x).reshape(len(rows), -1)
            left = train[m][known] - fitted.predict(seen).reshape(known.sum(), -1)
            sd[m][rows] = np.sqrt((left**2).mean(axis=0))
    return Filled(mean, sd=sd)


def patterns(views: Views):
    """(views that rows have, their numbers), each once."""
    names = sorted(views)
    has = np.stack([~np.isnan(views[m]).any(axis=1) for m in names], axis=1)
    kinds, which = np.unique(has, axis=0, return_inverse=True)
    for number, kind in enumerate(kinds):
        given = tuple(m for m, there in zip(names, kind, strict=True) if there)
        yield given, np.flatnonzero(which.ravel() == number)


class Ppca:
    """Probabilistic PCA, x = W z + c + σ ε, by EM over what is there."""

    def __init__(self, views: Views, size: int, num_steps: int = 100):
        rng, self.variance = np.random.default_rng(0), 1.0
        self.weights = {
            m: 0.1 * rng.standard_normal((x.shape[1], size + 1))
            for m, x in views.items()
        }  # the last column is c
        for _ in range(num_steps):
            self._step(views)

    def infer(self, views: Views, given, rows) -> tuple[np.ndarray, np.ndarray]:
        """Means [n, D + 1] of (z, 1) of these rows, and their covariance."""
        size = next(iter(self.weights.values())).shape[1] - 1
        precision, pull = np.eye(size), np.zeros((len(rows), size))
        for m in given:
            w, c = self.weights[m][:, :-1], self.weights[m][:, -1]
            precision += w.T @ w / self.variance
            pull += (views[m][rows] - c) @ w / self.variance
        covariance = np.linalg.inv(precision)
        whole = np.zeros((size + 1, size + 1))
        whole[:-1, :-1] = covariance
        return np.column_stack([pull @ covariance, np.ones(len(rows))]), whole

    def _step(self, views: Views) -> None:
        sums = {m: [0.0, 0.0, 0.0, 0] for m in views}
        for given, rows in patterns(views):
            z, covariance = self.infer(views, given, rows)
            second = z.T @ z + len(rows) * covariance
            for m in given:
                x = views[m][rows]
                added = (second, x.T @ z, (x**2).sum(), x.size)
                sums[m] = [a + b for a, b in zip(sums[m], added, strict=True)]
        error = 0.0
        for m, (second, cross, squares, _) in sums.items():
            w = self.weights[m] = np.linalg.solve(second, cross.T).T
            error += squares - 2 * (w * cross).sum() + ((w @ second) * w).sum()
        self.variance = max(error / sum(total for *_, total in sums.values()), 1e-6)

    def fill(self, views: Views) -> Filled:
        mean = {m: np.array(x) for m, x in views.items()}
        sd = {m: np.zeros_like(x) for m, x in views.items()}
        for given, rows in patterns(views):
            z, covariance = self.infer(views, given, rows)
            for m in set(views) - set(given):
                w = self.weights[m]
                mean[m][rows] = z @ w.T
                own = np.einsum("fi,ij,fj->f", w, covariance, w)
                sd[m][rows] = np.sqrt(own + self.variance)
        return Filled(mean, sd=sd)


def by_ppca(train: Views, new: Views) -> Filled:
    """With as many latents as fill in a fifth of the training rows best."""
    rng, num = np.random.default_rng(0), len(next(iter(train.values())))
    kept_out = rng.permutation(num)[: num // 5]
    rest = np.setdiff1d(np.arange(num), kept_out)
    some = {m: x[kept_out] for m, x in train.items()}
    more = hide(rng, some, "random.3", is_new=True)
    holed = with_holes(some, more)
    few, errors = {m: x[rest] for m, x in train.items()}, {}
    for size in [k for k in (1, 2, 4, 8, 12) if k < _joined(new).shape[1]]:
        filled = Ppca(few, size, 40).fill(holed).mean
        errors[size] = np.nanmean((_joined(filled) - _joined(some)) ** 2)
    return Ppca(train, min(errors, key=errors.get)).fill(new)


def by_mofa(python: str) -> Callable[[Views, Views], Filled]:
    """MOFA+ in an environment of its own, on training rows and new ones together."""

    def fill(train: Views, new: Views) -> Filled:
        with tempfile.TemporaryDirectory() as folder:
            given, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
            np.savez(given, **{m: np.concatenate([train[m], new[m]]) for m in new})
            subprocess.run([python, MOFA_PROGRAM, given, out], check=True)
            with np.load(out) as found:
                return Filled({m: found[m][len(train[m]) :] for m in new})

    return fill


def rivals(mofa_python: str) -> dict[str, Callable[[Views, Views], Filled]]:
    """Name -> how it fills in new rows once it has seen those to train on."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer

    return {
        "ridge": by_ridge,
        "knn": by_sklearn(KNNImputer(n_neighbors=15)),
        "iterative": by_sklearn(IterativeImputer(max_iter=20, random_state=0)),
        "ppca": by_ppca,
        **({"mofa": by_mofa(mofa_python)} if mofa_python else {}),
    }


# --- judging ------------------------------------------------------------------------


def judge(filled: Filled, truth: Views, absent: Views, scale: Views) -> dict[str, Any]:
    """Sums over the hidden entries, which ``pooled`` makes numbers of."""
    from jnf_jax.evaluation.statistics.predictive import fair_crps

    sums = dict.fromkeys(("error", "total", "crps", "covered", "num"), 0.0)
    for m, x in truth.items():
        rows, s = absent[m], scale[m]
        error = (filled.mean[m][rows] - x[rows]) / s
        sums["error"] += float((error**2).sum())
        sums["total"] += float(((x[rows]) ** 2 / s**2).sum())
        sums["num"] += error.size
        if filled.draws is not None:
            draws = filled.draws[m][:, rows]
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            sums["covered"] += float(((low <= x[rows]) & (x[rows] <= high)).sum())
            sums["crps"] += float((fair_crps(draws, x[rows]) / s).sum())
        elif filled.sd is not None:
            sd = filled.sd[m][rows] / s
            sums["covered"] += float((np.abs(error) <= 1.6449 * sd).sum())
            sums["crps"] += float(_normal_crps(error / sd, sd).sum())
    has_law = filled.draws is not None or filled.sd is not None
    return sums if has_law else {k: sums[k] for k in ("error", "total", "num")}


def _normal_crps(standard: np.ndarray, sd: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    inner = standard * (2 * norm.cdf(standard) - 1) + 2 * norm.pdf(standard)
    return sd * (inner - np.pi**-0.5)


def pooled(all_sums: list[dict[str, float]]) -> dict[str, float]:
    """R², CRPS and coverage over the hidden entries of several seeds together."""
    total = {k: sum(sums[k] for sums in all_sums) for k in all_sums[0]}
    found = {"r2": 1 - total["error"] / total["total"]}
    if "crps" in total:
        found["crps"] = total["crps"] / total["num"]
        found["coverage"] = total["covered"] / total["num"]
    return found


def run_case(
    name: str, case: str, seed: int, sizes: tuple[int, int], overrides: dict, mofa: str
) -> tuple[dict[str, dict], dict]:
    """{method: sums} of one table, case and seed, and what ours took."""
    num_train, num_new = sizes
    table = TABLES[name](seed, num_train + num_new)
    num = len(next(iter(table.views.values())))
    order = np.random.default_rng(seed).permutation(num)
    num_train = min(num_train, 7 * num // 10)
    train, new = order[:num_train], order[num_train : num_train + num_new]
    rng = np.random.default_rng((seed, CASES.index(case)))
    absent = {
        rows.tobytes(): hide(
            rng, {m: x[rows] for m, x in table.views.items()}, case, is_new
        )
        for rows, is_new in ((train, False), (new, True))
    }
    seen, missing = absent[train.tobytes()], absent[new.tobytes()]
    mean = {m: x[train][~seen[m]].mean(axis=0) for m, x in table.views.items()}
    scale = {m: x[train][~seen[m]].std(axis=0) for m, x in table.views.items()}
    scale = {m: np.where(s > 0, s, 1.0) for m, s in scale.items()}
    standard = {m: (x - mean[m]) / scale[m] for m, x in table.views.items()}

    def part(views: Views, rows: np.ndarray, lacks: Views) -> Views:
        return with_holes({m: x[rows] for m, x in views.items()}, lacks)

    fit_to, fill_in = (
        part(standard, rows, lacks) for rows, lacks in ((train, seen), (new, missing))
    )
    ones = {m: np.ones_like(s) for m, s in scale.items()}
    truth = {m: x[new] for m, x in standard.items()}
    found, about = {}, {"training_rows": len(train), "hidden_rows": len(new)}
    filled = ours(
        table, part(table.ours, train, seen), part(table.ours, new, missing), seed,
        overrides, about,
    )  # fmt: skip
    away = Filled(
        {m: (x - mean[m]) / scale[m] for m, x in filled.mean.items()},
        {m: (x - mean[m]) / scale[m] for m, x in filled.draws.items()},
    )
    found["ours"] = judge(away, truth, missing, ones)
    for method, fill in rivals(mofa).items():
        found[method] = judge(fill(fit_to, fill_in), truth, missing, ones)
    if table.conditional_mean is not None:
        exact = {m: np.array(x) for m, x in truth.items()}
        rows = {m: x[new] for m, x in table.views.items()}
        for given, numbers in patterns(fill_in):
            best = table.conditional_mean({m: rows[m][numbers] for m in given}, given)
            for m in exact:
                exact[m][numbers] = (best[m] - mean[m]) / scale[m]
        found["exact"] = judge(Filled(exact), truth, missing, ones)
    return found, about


def main() -> None:
    """Every table and case, over the seeds."""

    def more(parser: Any) -> None:
        parser.add_argument("--tables", default=",".join(TABLES), help="some of them")
        parser.add_argument("--cases", default=",".join(CASES), help="some of them")
        parser.add_argument("--seeds", default="0", help="separated by commas")
        parser.add_argument("--mofa-python", default="", help="it has mofapy2")

    flags = measuring.read_flags(__doc__, more=more)
    seeds = [int(seed) for seed in flags.seeds.split(",")]
    sizes, overrides = (1_400, 600), {}
    if flags.small:
        sizes, overrides = (40, 10), {"joint.num_steps": 3, "subsets.num_steps": 3}
        flags.tables, flags.cases = "linear,counts", "random.3"
    record: dict[str, Any] = {"seeds": seeds, "tables": {}}
    for name in flags.tables.split(","):
        for case in flags.cases.split(","):
            runs = [
                run_case(name, case, seed, sizes, overrides, flags.mofa_python)
                for seed in seeds
            ]
            methods = {m: pooled([sums[m] for sums, _ in runs]) for m in runs[0][0]}
            best = max(
                of["r2"] for m, of in methods.items() if m not in ("ours", "exact")
            )
            record["tables"].setdefault(name, {})[case] = {
                **methods,
                "over_best_rival": methods["ours"]["r2"] - best,
                "hidden_entries": int(sum(sums["ours"]["num"] for sums, _ in runs)),
                "training": [about for _, about in runs],
            }
            told = {m: round(of["r2"], 3) for m, of in methods.items()}
            covered = methods["ours"]["coverage"]
            print(f"{name} {case}: {told}, coverage {covered:.3f}", flush=True)
    measuring.write_record(flags, "imputation", record)


if __name__ == "__main__":
    main()
