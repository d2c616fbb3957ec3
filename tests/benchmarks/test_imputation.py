"""The tables, holes and rivals of ``benchmarks.imputation``, without a model."""

import numpy as np
import pytest

from benchmarks import imputation


@pytest.mark.parametrize("case", imputation.CASES)
@pytest.mark.parametrize("is_new", [False, True])
def test_rows_keep_a_view_and_new_ones_lack_one(case, is_new):
    views = imputation.generated("linear", 0, 4_000).views
    absent = imputation.hide(np.random.default_rng(0), views, case, is_new)
    missing = np.stack([absent[m] for m in sorted(views)], axis=1)
    assert not missing.all(axis=1).any()
    assert missing.any(axis=1).all() or not is_new
    share = int(case[-1]) / 10
    if not is_new and share:  # one view of six is always there; standard error 0.004
        assert missing.mean() == pytest.approx(share * 5 / 6, abs=0.02)
    if case.startswith("given"):
        assert not missing[:, 0].any()
        high = views["v0"][:, 0] > np.median(views["v0"][:, 0])
        assert missing[high].mean() > 1.5 * missing[~high].mean()


def test_the_conditional_mean_is_the_regression_of_very_many_rows():
    table = imputation.generated("linear", 1, 60_000)
    given = ("v0", "v3")
    best = table.conditional_mean(table.views, given)
    x = np.concatenate([table.views[m] for m in given], axis=1)
    for m in ("v1", "v5"):
        fitted = x @ np.linalg.lstsq(x, table.views[m], rcond=None)[0]
        assert np.abs(fitted - best[m]).max() < 0.15  # 9 coefficients, errors of 0.005


def test_probabilistic_pca_comes_near_the_best_and_knows_how_near():
    """Columns in units of their noise: there the model is right."""
    rng, loading = (
        np.random.default_rng(0),
        np.random.default_rng(1).normal(size=(2, 9)),
    )
    z = rng.normal(size=(2_000, 2))
    x = z @ loading + 0.5 * rng.normal(size=(2_000, 9))
    views = {"a": x[:, :4], "b": x[:, 4:6], "c": x[:, 6:]}
    truth = {m: v[1_000:] for m, v in views.items()}
    absent = imputation.hide(rng, truth, "random.3", is_new=True)
    seen = {m: v[:1_000] for m, v in views.items()}
    holed = imputation.with_holes(
        seen, imputation.hide(rng, seen, "random.3", is_new=False)
    )
    filled = imputation.Ppca(holed, 2).fill(imputation.with_holes(truth, absent))
    ones = {m: np.ones(v.shape[1]) for m, v in views.items()}
    found = imputation.pooled([imputation.judge(filled, truth, absent, ones)])
    best = {m: np.array(v) for m, v in truth.items()}
    for given, rows in imputation.patterns(imputation.with_holes(truth, absent)):
        columns = {"a": range(4), "b": range(4, 6), "c": range(6, 9)}
        own = [j for m in given for j in columns[m]]
        a = loading[:, own]
        mean = np.linalg.solve(
            np.eye(2) + a @ a.T / 0.25, a @ x[1_000:][rows][:, own].T
        )
        for m in views:
            best[m][rows] = mean.T / 0.25 @ loading[:, columns[m]]
    exact = imputation.judge(imputation.Filled(best), truth, absent, ones)
    assert found["r2"] == pytest.approx(imputation.pooled([exact])["r2"], abs=0.01)
    assert found["coverage"] == pytest.approx(0.9, abs=0.02)
