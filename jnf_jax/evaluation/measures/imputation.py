"""Are intervals right and narrow for a view that was hidden, given all others?

::

    z_k ~ q(z|x_S),  x_k ~ p(x_m|z_k),  k = 1, …, K,    S all views but m

for test tuples x. The record has, over tuples and over the values of x_m, how often the
central intervals of these draws hold the true value (coverage, at 5, 10, …, 95 %), and
the CRPS; ``statistics/predictive.py`` has the estimators. The CRPS is in the model's
units, so that values of different units can be averaged, and ``skill`` is its share of
what the data's own spread costs: 1 − CRPS / CRPS of the law of x_m over test tuples. A
model that ignores what it is given has the right coverage at skill 0.

It is of vectors alone unless ``views`` is "all": noise of the likelihood in a picture's
pixels is seldom meant to be believed, and K draws of pictures cost too much.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation import plots
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.pictures import Picture
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.statistics import predictive
from jnf_jax.evaluation.subject import Subject
from jnf_jax.options import option
from jnf_jax.types import Views

LEVELS = tuple(range(5, 100, 5))
"""Per cent; those of ``SHOWN`` are in tables."""

SHOWN = (50, 80, 95)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which views are hidden, of how many tuples, and how often they are drawn."""

    views: str = option(
        "vectors", 'Which are hidden: "vectors", or "all".', one_of=("vectors", "all")
    )
    num_tuples: int = option(500, "Test tuples, from the first.", at_least=2)
    num_draws: int = option(39, "K, draws a tuple; K + 1 a multiple of 40.", at_least=1)
    num_values: int = option(
        64, "Values of each view that are judged, evenly spaced.", at_least=1
    )

    def cross_faults(self, field: str) -> list[str]:
        """Every level is exactly that of an interval between draws."""
        if (self.num_draws + 1) % 40 == 0:
            return []
        return [
            f"`{field}.num_draws` is {self.num_draws}, expected a multiple of 40, less "
            "1"
        ]


def data_faults(
    settings: Settings, field: str, dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    """Tells where there is nothing to hide, or a single tuple."""
    found = []
    if not _hidden(settings, dataset):
        found.append(
            f"`{field}.views` is 'vectors', expected 'all': no view of "
            f"{dataset.name!r} is a vector"
        )
    num_tuples = protocol.num_tuples or dataset.splits["test"].size
    if num_tuples < 2:
        found.append(
            f"`{field}` needs two test tuples or more, expected more than {num_tuples}"
        )
    return found


_COVERAGE = dict(low=0.0, high=1.0)
TABLES = (
    Table(
        "Views that were hidden, given all others: how often central 50, 80 and 95 % "
        "intervals of draws hold the true value (s.e. over tuples, of 80 %), CRPS in "
        "the model's units, and by which share it is below that of the data's own "
        "spread.",
        (
            *(Column(f"{p} %", f"coverage.{p}", 3, **_COVERAGE) for p in SHOWN),
            Column("s.e.", "standard_error.80", 3, low=0.0),
            Column("CRPS", "crps", 3),
            Column("skill", "skill", 3, high=1.0),
        ),
        "hidden",
        "hidden",
    ),
)


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """{"hidden": {m: coverage by level, its standard errors, CRPS, skill}}."""
    names, found = tuple(subject.inference.modalities), {}
    num = min(settings.num_tuples, subject.num_tuples)
    root = jax.random.key(subject.protocol.seed)
    for m in _hidden(settings, subject.dataset):
        key = jax.random.fold_in(root, names.index(m))
        draws, truth = _draw(subject, m, num, settings, key)
        seed = np.random.default_rng([subject.protocol.seed, names.index(m)])
        found[m] = judge(draws, truth, seed)
        told = ", ".join(
            f"{p} % intervals {found[m]['coverage'][str(p)]:.1%}" for p in SHOWN
        )
        subject.report(f"imputation of {m}: in {told}")
    return {"hidden": found}


def pictures(measured: Mapping[str, Any]) -> dict[str, Picture]:
    """{"reliability.png": coverage over level, a curve a view}."""
    curves = {
        m: {int(p): share for p, share in of["coverage"].items()}
        for m, of in measured["hidden"].items()
    }
    title = "Values of hidden views in central intervals, given all other views"
    return {"reliability.png": plots.reliability(curves, title=title)}


def judge(
    draws: np.ndarray, truth: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """What the record holds of draws f32[K, N, V] and true values f32[N, V]."""
    num_draws, num = draws.shape[:2]
    found = predictive.ranks(draws, truth, rng)
    # Values of one tuple err together: shares of tuples are what is independent.
    shares = {
        p: predictive.is_covered(found, num_draws, p).mean(axis=-1) for p in LEVELS
    }
    crps = float(predictive.fair_crps(draws, truth).mean())
    spread = float(predictive.half_mean_difference(truth).mean())
    return {
        "coverage": {str(p): float(x.mean()) for p, x in shares.items()},
        "standard_error": {
            str(p): float(shares[p].std(ddof=1) / np.sqrt(num)) for p in SHOWN
        },
        "crps": crps,
        "spread": spread,
        "skill": 1 - crps / spread if spread > 0 else None,
    }


def _hidden(settings: Settings, dataset: Dataset) -> list[str]:
    return [
        m
        for m, shape in sorted(dataset.shapes.items())
        if settings.views == "all" or len(shape) == 1
    ]


def _draw(
    subject: Subject, m: str, num: int, settings: Settings, rng_key: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
    """Draws f32[K, N, V] of values of x_m given all other views, and the true ones."""
    inference, params = subject.inference, subject.params
    subset = tuple(name for name in inference.modalities if name != m)
    size = int(np.prod(subject.dataset.shapes[m]))
    chosen = np.linspace(0, size - 1, min(size, settings.num_values)).astype(int)
    adapt_key, root = jax.random.split(rng_key)
    step_size = inference.adapt(params, adapt_key, subject.first_views(num), subset)

    def look(number: int, views: Views) -> tuple[jax.Array, jax.Array]:
        keys = jax.random.split(jax.random.fold_in(root, number), settings.num_draws)
        drawn = []
        for key in keys:
            infer_key, noise_key = jax.random.split(key)
            z, _ = inference.infer(params, infer_key, views, subset, step_size)
            x = _predict(inference, m, params, noise_key, z)
            drawn.append(x[:, chosen])
        truth = views[m].reshape(len(views[m]), -1)[:, chosen]
        return jnp.stack(drawn, axis=1), truth

    draws, truth = subject.over_tuples(look, num)
    return np.moveaxis(draws, 1, 0), truth


@functools.partial(jax.jit, static_argnums=(0, 1))
def _predict(inference, m, params, rng_key, z) -> jax.Array:
    """x_m ~ p(x_m|z) as vectors f32[B, F]."""
    x = inference.decode(params, z)[m].sample(seed=rng_key)
    return x.reshape(len(x), -1)
