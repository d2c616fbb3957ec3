"""A scikit-learn transformer that fills in a table whose columns are several views.

::

    imputer = jnf_jax.MultiViewImputer(views={"blood": [0, 1, 2], "scan": [3, 4]})
    make_pipeline(imputer, LogisticRegression()).fit(X, y)  # NaN where X lacks a view

It is ``jnf_jax.fit`` and ``Model.impute`` with scikit-learn's manners; whoever wants
draws, quantiles or z asks its ``model_``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jnf_jax import api
from jnf_jax.data.own import LEAST_ROWS
from jnf_jax.evaluation.statistics.predictive import fair_crps

STRATEGIES = ("mean", "draw")
"""What ``transform`` puts where something was missing."""


class MultiViewImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fills in the views that rows of a table lack, given those that they have.

    A row lacks a view where all of the view's columns are NaN.

    Args:
        views: {name: columns, as numbers or as names of a data frame}, each column in
            one view; None: every column is a view of its own.
        strategy: "mean" of ``num_samples`` draws, or one "draw", which keeps the spread
            that the data have.
        num_samples: Draws a row, for the mean and for ``score``.
        config: As ``jnf_jax.fit`` takes it.
        overrides: As ``jnf_jax.fit`` takes them, as {"joint.num_steps": 500}; what a
            grid search varies.
        random_state: Of the splits, of training and of draws.

    Attributes:
        model_: The trained ``jnf_jax.Model``, whose views are named as ``views``.
        views_: {name: numbers of its columns}.
        scale_: f64[columns], standard deviations of what was seen in training.
    """

    def __init__(  # sets what it is given; ``fit`` looks at it
        self,
        views: Any = None,
        *,
        strategy: Any = "mean",
        num_samples: Any = 100,
        config: Any = "own/jnf",
        overrides: Any = None,
        random_state: Any = 0,
    ):
        self.views = views
        self.strategy = strategy
        self.num_samples = num_samples
        self.config = config
        self.overrides = overrides
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "MultiViewImputer":
        """Trains the model on a table f[N, columns] with NaN; ``y`` is not read.

        Raises:
            ValueError: Views that are no partition of the columns, an unknown strategy;
                or as ``jnf_jax.fit``.
        """
        del y
        X = self._table(X, reset=True)
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"`strategy` is {self.strategy!r}, expected one of {STRATEGIES}"
            )
        names = getattr(self, "feature_names_in_", None)
        self.views_ = _columns_of(self.views, X.shape[1], names)
        if len(X) < LEAST_ROWS:
            raise ValueError(
                f"`X` has {len(X)} sample(s), expected {LEAST_ROWS} or more"
            )
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.scale_ = _scale_of(X)
        self.model_ = api.fit(
            self._views_of(X),
            config=self.config,
            seed=self.seed_,
            overrides=self.overrides,
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The table without NaN: what was seen as it is, else by ``strategy``."""
        check_is_fitted(self)
        X = self._table(X, reset=False)
        num_samples = 1 if self.strategy == "draw" else self.num_samples
        partial, filled = self._views_of(X), X.copy()
        if np.isnan(X).any():
            found = self.model_.impute(partial, num_samples, self.seed_)
            for m, columns in self.views_.items():
                filled[:, columns] = found.views[m]
        return filled

    def score(self, X: Any, y: Any = None) -> float:
        """−CRPS of each view that a row has, hidden and drawn given its others.

        It is the fair CRPS (``statistics/predictive.py``) of ``num_samples`` draws with
        the likelihood's noise, over the standard deviation of the column in training,
        and averaged over all values seen in X. 0 is the best; a forecast that knows
        nothing but the law of normal data has −0.56. ``y`` is not read.
        """
        del y
        check_is_fitted(self)
        X = self._table(X, reset=False)
        costs = []
        for m, columns in self.views_.items():
            partial = self._views_of(X)
            truth, partial[m] = partial[m], np.full_like(partial[m], np.nan)
            found = self.model_.impute(partial, max(self.num_samples, 2), self.seed_)
            cost = fair_crps(found.draws[m], truth) / self.scale_[columns]
            costs.append(cost[~np.isnan(truth)])
        costs = np.concatenate(costs)
        if not costs.size:
            raise ValueError("`X` has no value that is not NaN, expected some")
        return -float(costs.mean())

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _table(self, X: Any, **options: Any) -> np.ndarray:
        kinds = dict(dtype=[np.float64, np.float32], ensure_all_finite="allow-nan")
        return validate_data(self, X, **kinds, **options)

    def _views_of(self, X: np.ndarray) -> dict[str, np.ndarray]:
        return {m: X[:, columns] for m, columns in self.views_.items()}


def _columns_of(
    views: Any,
    num_columns: int,
    names: np.ndarray | None,
) -> dict[str, list[int]]:
    """{view: numbers of its columns}, each column in one view."""
    if views is None:
        if num_columns < 2:
            raise ValueError(f"`X` has {num_columns} feature(s), expected two or more")
        return {f"column_{i}": [i] for i in range(num_columns)}
    if not isinstance(views, Mapping):
        raise ValueError(f"`views` is {views!r}, expected {{name: columns}} or None")
    places = {} if names is None else {name: i for i, name in enumerate(names)}
    found = {
        m: [int(places.get(column, column)) if _is_known(column, places) else -1
            for column in columns]
        for m, columns in views.items()
    }  # fmt: skip
    every = sorted(i for columns in found.values() for i in columns)
    if every != list(range(num_columns)):
        raise ValueError(
            f"`views` is {dict(views)}, expected each of the {num_columns} columns in "
            "one view, by its number or its name"
        )
    return found


def _is_known(column: int | str, places: Mapping[str, int]) -> bool:
    return column in places or isinstance(column, int | np.integer)


def _scale_of(X: np.ndarray) -> np.ndarray:
    """Standard deviation of what each column has; 1 where it does not vary."""
    seen = ~np.isnan(X)
    num = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, X, 0).sum(axis=0, dtype=np.float64) / num
    square = np.where(seen, (X - mean) ** 2, 0).sum(axis=0, dtype=np.float64) / num
    return np.where(square > 0, np.sqrt(square), 1.0)
