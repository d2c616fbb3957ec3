"""Intervals for hidden views, by exact posteriors and by decoders with less noise."""

import dataclasses

import distrax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian

from jnf_jax import options
from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.evaluation.measures import imputation, tables
from jnf_jax.evaluation.measures.imputation import SHOWN, Settings, data_faults
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject

TRUTH = linear_gaussian({"a": 2, "b": 3, "c": 2}, 2, seed=3)
NUM = 2_000
VIEWS = {m: np.float32(x) for m, x in TRUTH.sample(seed=4, num=NUM)[1].items()}


@dataclasses.dataclass(frozen=True)
class Exact:
    """Posteriors of ``TRUTH``; its decoders, with that share of their noise."""

    noise: float = 1.0
    modalities = tuple(sorted(TRUTH.weights))

    def infer(self, params, rng_key, views, subset, step_size=None):
        covariance = np.linalg.inv(TRUTH.precision(subset))
        mean = sum(
            (views[m] - TRUTH.offsets[m]) @ TRUTH.weights[m] / TRUTH.noises[m] ** 2
            for m in subset
        )
        factor = jnp.asarray(np.linalg.cholesky(covariance))
        posterior = distrax.MultivariateNormalTri(mean @ covariance, factor)
        return posterior.sample(seed=rng_key), None

    def decode(self, params, z):
        return {
            m: distrax.MultivariateNormalDiag(
                z @ TRUTH.weights[m].T + TRUTH.offsets[m],
                jnp.full((len(z), len(TRUTH.offsets[m])), self.noise * TRUTH.noises[m]),
            )
            for m in self.modalities
        }

    def adapt(self, params, rng_key, views, subset):
        assert {*views} == {*self.modalities} and len(subset) == 2


def fetch(arrays, rows):
    return {m: x[rows] for m, x in arrays.items()}


def dataset(**shapes):
    test = Split(VIEWS, NUM, None)
    return Dataset("made", shapes, {"test": test}, fetch, None, {})


def measure(inference, **settings):
    arrays = {m: jnp.asarray(x) for m, x in VIEWS.items()}
    subject = Subject(
        inference,
        {},
        dataset(a=(2,), b=(3,), c=(2,)),
        HeldOut(arrays, fetch, NUM),
        None,
        ProtocolSettings(batch_size=1_000, num_diagnostic_data=2),
    )
    return imputation.measure(subject, Settings(num_tuples=NUM, **settings))["hidden"]


def test_coverage_is_nominal_and_the_crps_exact_where_inference_is():
    """The conditional of x_m is N(·, σ²), whose CRPS is σ/√π; four standard errors."""
    for m, found in measure(Exact()).items():
        for percent in SHOWN:
            error = found["standard_error"][str(percent)]
            assert abs(found["coverage"][str(percent)] - percent / 100) < 4 * error
            assert 0 < error < 0.02
        given = [name for name in "abc" if name != m]
        a, covariance = TRUTH.weights[m], np.linalg.inv(TRUTH.precision(given))
        scale = np.sqrt(np.diag(a @ covariance @ a.T) + TRUTH.noises[m] ** 2)
        expected = scale.mean() / np.sqrt(np.pi)
        # A CRPS varies by .8 of its mean: .02 of 2,000 tuples.
        assert found["crps"] == pytest.approx(expected, rel=0.08)
        spread = np.sqrt(np.diag(a @ a.T) + TRUTH.noises[m] ** 2).mean()
        assert found["spread"] == pytest.approx(spread / np.sqrt(np.pi), rel=0.08)
        assert found["skill"] == 1 - found["crps"] / found["spread"]


def test_intervals_that_are_too_narrow_are_seen():
    right, narrow = measure(Exact()), measure(Exact(noise=0.3))
    for m in right:
        assert narrow[m]["coverage"]["80"] < 0.7 < right[m]["coverage"]["80"]
        assert narrow[m]["crps"] > right[m]["crps"]


def test_what_is_found_is_shown_and_drawn():
    found = {"hidden": measure(Exact(), num_values=1)}
    (table,) = imputation.TABLES
    rows = dict(tables.rows_of(table, found))
    assert [*rows] == ["a", "b", "c"] and rows["a"][0] == found["hidden"]["a"][
        "coverage"
    ]["50"]
    assert None not in rows["a"]
    (picture,) = imputation.pictures(found).values()
    assert picture.dtype == np.uint8 and picture.std() > 0


def test_pictures_are_left_out_unless_asked_for():
    protocol = ProtocolSettings()
    data = dataset(a=(2, 2, 1), b=(3, 4))
    told = data_faults(Settings(), "evaluation.imputation", data, protocol)
    assert told == [
        "`evaluation.imputation.views` is 'vectors', expected 'all': no view of 'made' "
        "is a vector"
    ]
    assert not data_faults(Settings(views="all"), "x", data, protocol)
    _, faults = options.read(Settings, {"num_draws": 40}, "evaluation.imputation")
    assert faults == [
        "`evaluation.imputation.num_draws` is 40, expected a multiple of 40, less 1"
    ]
