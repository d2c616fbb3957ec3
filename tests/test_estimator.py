"""The scikit-learn estimator: its manners, by a model that is not trained, and one."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import jnf_jax
from jnf_jax import api
from jnf_jax.experiments.imputation import Group, Partial, complete

NAN = np.nan
RNG = np.random.default_rng(0)
CAUSE = RNG.normal(size=60)
X = np.column_stack([CAUSE, 10 + 2 * CAUSE, RNG.normal(size=60)])
VIEWS = {"left": [0, 2], "right": [1]}


class Told:
    """In the place of a model: normal draws about means of the columns."""

    def __init__(self, views, config, seed, overrides):
        self.arguments = config, seed, overrides
        self.means = {m: np.nanmean(x, axis=0) for m, x in views.items()}
        self.scales = {m: np.nanstd(x, axis=0) for m, x in views.items()}

    def impute(self, partial, num_samples, seed):
        holes = {m: np.isnan(x) for m, x in partial.items()}
        rng = np.random.default_rng(seed)
        drawn = {
            m: self.means[m] + self.scales[m] * rng.normal(size=(num_samples, *x.shape))
            for m, x in partial.items()
        }
        rows = np.arange(len(next(iter(partial.values()))))
        group = Group(rows, drawn, None)
        return complete(Partial(dict(partial), {}, holes), [group], num_samples)


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(api, "fit", Told)


def imputer(**options):
    return jnf_jax.MultiViewImputer(**{"views": VIEWS, "num_samples": 20} | options)


def with_holes():
    holed = X.copy()
    holed[::5, 1] = NAN
    holed[1::5, [0]] = NAN
    holed[1::5, [2]] = NAN
    return holed


def test_what_was_seen_stays_and_nothing_is_missing(told):
    filled = imputer().fit_transform(with_holes())
    is_seen = ~np.isnan(with_holes())
    np.testing.assert_array_equal(filled[is_seen], X[is_seen])
    assert np.isfinite(filled).all() and abs(filled[::5, 1].mean() - 10) < 2
    mean, draw = (
        imputer(strategy=s).fit(X).transform(with_holes())[::5, 1].std()
        for s in ("mean", "draw")
    )
    assert draw > 2 * mean  # one draw of sd 2 against the mean of twenty


def test_the_score_is_that_of_the_law_of_the_column(told):
    """−E CRPS of a normal law at its own data, over its sd: −1/√π = −.564."""
    many = np.random.default_rng(1).normal(size=(4_000, 3)) * [1, 50, 3] + 7
    fitted = imputer().fit(many)
    assert fitted.score(many) == pytest.approx(-1 / np.sqrt(np.pi), abs=0.02)
    holed = np.where(np.arange(4_000)[:, None] % 2 == 0, [NAN, 0, NAN] + many, many)
    assert fitted.score(holed) == pytest.approx(-1 / np.sqrt(np.pi), abs=0.02)


def test_it_is_cloned_and_searched_in_a_pipeline(told):
    copied = clone(imputer(overrides={"joint.num_steps": 3}))
    assert copied.get_params()["overrides"] == {"joint.num_steps": 3}
    assert not hasattr(copied, "model_")
    pipeline = make_pipeline(imputer(), LinearRegression())
    grid = {"multiviewimputer__overrides": [None, {"model.latent_dim": 2}]}
    found = GridSearchCV(pipeline, grid, cv=2).fit(with_holes(), CAUSE)
    assert found.predict(with_holes()).shape == (60,)
    alone = GridSearchCV(imputer(), {"overrides": [None, {"seed": 1}]}, cv=2)
    assert alone.fit(with_holes()).best_score_ < 0


@pytest.mark.parametrize(
    ("options", "table", "message"),
    [
        (
            {"views": {"a": [0, 1]}},
            X,
            r"`views` is {'a': \[0, 1\]}, expected each of t",
        ),
        ({"views": {"a": [0, 1], "b": [1, 2]}}, X, "expected each of the 3 columns in"),
        ({"views": {"a": [0, 1], "b": ["z"]}}, X, "by its number or its name"),
        ({"strategy": "median"}, X, "`strategy` is 'median', expected one of"),
        ({"views": None}, X[:, :1], r"`X` has 1 feature\(s\), expected two or more"),
        ({}, X[:9], r"`X` has 9 sample\(s\), expected 20 or more"),
    ],
)
def test_faults(told, options, table, message):
    with pytest.raises(ValueError, match=message):
        imputer(**options).fit(table)


EXPECTED = {
    "check_n_features_in_after_fitting": "it fits 15 rows, and a model needs 20"
}
"""Check -> why it cannot pass."""


@estimator_checks.parametrize_with_checks(
    [jnf_jax.MultiViewImputer(num_samples=2)], expected_failed_checks=lambda e: EXPECTED
)
def test_manners(told, estimator, check):
    check(estimator)


ONE_STEP = {
    "joint.num_steps": 1,
    "subsets.num_steps": 1,
    "joint.batch_size": 4,
    "subsets.batch_size": 4,
    "model.latent_dim": 2,
    "model.joint_hidden_sizes": (4,),
    "model.networks.default.hidden_sizes": (4,),
    "flow.num_blocks": 1,
    "flow.hidden_sizes": (4,),
    "subset_posterior.hidden_sizes": (4,),
}


def trained():
    return jnf_jax.MultiViewImputer(num_samples=2, overrides=ONE_STEP)


# The checks that a model can fail where its stand-in passes: which tables reach
# training, and whether it repeats. All others ask about arguments and refusals, or fill
# tables without holes, which no model is asked for. ``check_estimators_pickle`` would
# fail: a trained model is a folder, and is passed on by ``model_.export(folder)``.
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_fit_idempotent,
        estimator_checks.check_readonly_memmap_input,
        estimator_checks.check_f_contiguous_array_estimator,
    ],
    ids=lambda check: check.__name__,
)
def test_manners_of_a_trained_model(check):
    check("MultiViewImputer", trained())


@pytest.mark.filterwarnings("ignore:.*not to be trusted")  # a step of training
def test_a_trained_model_fills_holes():
    fitted = trained().fit(with_holes())
    filled = fitted.transform(with_holes())
    is_seen = ~np.isnan(with_holes())
    np.testing.assert_array_equal(filled[is_seen], X[is_seen])
    assert np.isfinite(filled).all() and np.isfinite(fitted.score(with_holes()))
