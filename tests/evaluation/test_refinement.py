"""Before and after, on a linear-Gaussian model whose posterior is known."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.refinement import BY_CHAINS, evaluate_refinement, target_of
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior, Reweighting
from jnf_jax.sampling import ChainSettings
from tests.methods.test_decoder_posterior import TRUTH, make

NUM = 300


def predict_sign(views):
    """Label 1 where the first value is positive."""
    return {m: (x[:, 0] > 0.5).astype(jnp.int32) for m, x in views.items()}


@pytest.fixture(scope="module")
def measured():
    return measure(*make(names=("a", "b")))


def measure(posterior, params, *how):
    _, views = TRUTH.sample(seed=6, num=NUM)
    views = {m: views[m] for m in ("a", "b")}
    arrays = {m: jnp.asarray(x, jnp.float32) for m, x in views.items()}
    labels = np.arange(NUM, dtype=np.int32) % 2
    held_out = HeldOut(
        arrays, lambda a, rows: {m: x[rows] for m, x in a.items()}, NUM, labels, 2
    )
    settings = ProtocolSettings(batch_size=200, num_diagnostic_data=8)
    lines = []
    classifiers = Classifiers(jax.tree_util.Partial(predict_sign), None, {}, None)
    subject = Subject(
        posterior.inference, params, None, held_out, classifiers, settings,
        report=lines.append,
    )  # fmt: skip
    found = evaluate_refinement(subject, posterior, *how)
    return found, views, lines


def test_after_is_the_mean_under_the_exact_posterior(measured):
    """E log p(x, z) = log p(x) − entropy of p(z|x), for z ~ p(z|x)."""
    found, views, lines = measured
    assert len(lines) == len(found["subsets"]) == 3
    for name, run in found["subsets"].items():
        given = {m: views[m] for m in name.split("+")}
        _, covariance = TRUTH.posterior(given)
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
        expected = TRUTH.log_marginal(given).mean() - entropy
        # log p(z|x) has variance D/2 = 1 over draws; 5 standard errors of 300.
        assert abs(run["log_joint_after"] - expected) < 5 / np.sqrt(NUM)
        assert run["log_joint_before"] < expected - 1
        assert 0.6 < run["acceptance"] < 0.98 and run["displacement"] > 0
        assert run["share_with_divergences"] == 0
    assert not found["warnings"]


@pytest.mark.parametrize(("refine", "num"), [("resample", 200), ("irmh", 60)])
def test_weights_reach_the_same_mean_and_say_how_far_they_carry(refine, num):
    how = Reweighting(refine, num_proposals=num)
    found, views, _ = measure(*make(names=("a", "b")), how)
    for name, run in found["subsets"].items():
        given = {m: views[m] for m in name.split("+")}
        _, covariance = TRUTH.posterior(given)
        entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
        expected = TRUTH.log_marginal(given).mean() - entropy
        # Five standard errors of 300, and what so few proposals leave undone.
        undone = 0.2 if num >= 100 else 0.6
        assert abs(run["log_joint_after"] - expected) < 5 / np.sqrt(NUM) + undone
        assert 1 <= run["weights_ess_min"] <= run["weights_ess_median"] <= num
        assert (run["share_khat_high"] is None) == (num < 100)
        assert ("acceptance" in run) == (refine == "irmh")
        assert "rhat_max" not in run and "step_size" not in run
    assert found["target"] == "p(z) Π p(x_m|z)"


def test_powers_of_likelihoods_are_named():
    posterior, _ = make(names=("a", "b"), weight=2.5)
    assert target_of(posterior, BY_CHAINS) == (
        "p(z) Π p(x_m|z)^λ_m, not the model's posterior: λ of a 2.5, b 2.5"
    )
    plain = dataclasses.replace(posterior, is_weighted=False)
    assert target_of(plain, BY_CHAINS) == "p(z) Π p(x_m|z)"


def test_weights_with_a_heavy_tail_are_warned_of():
    """Of a normal a tenth as wide as it should be."""
    posterior, params = copy.deepcopy(make(names=("a", "b")))
    for expert in params["unimodal"].values():
        expert["encoder"]["log_variance"]["bias"] -= 6.0
    found, _, lines = measure(posterior, params, Reweighting("resample", 100))
    assert found["subsets"]["a"]["share_khat_high"] > 0.5
    told = [line for line in lines if "Pareto k̂ of the weights exceeds 0.7" in line]
    assert len(told) == len(found["warnings"]) >= 2
    assert "100 proposals miss a part of the target" in told[0]


def test_a_step_that_is_too_long_is_told_of():
    """By ``ula``, which accepts every step, nothing else would tell."""
    posterior, params = make(names=("a", "b"))
    chains = ChainSettings(
        kernel="ula", num_transitions=4, num_adaptation=0, initial_step_size=10.0
    )
    found, _, lines = measure(
        DecoderPosterior(posterior.inference, chains, is_weighted=True), params
    )
    for run in found["subsets"].values():
        assert run["acceptance"] == 1 and run["share_with_divergences"] > 0.9
        assert np.isfinite(run["log_joint_after"])
    told = [
        line for line in lines if "diverged, the first at transition 1 of 4" in line
    ]
    assert len(told) == len(found["warnings"]) == 3
    assert "at a step size of 10," in told[0]
    assert "expected `refinement.initial_step_size` below what it is" in told[0]


def test_averages_are_over_subsets_of_a_size(measured):
    found, _, _ = measured
    for moment in ("before", "after"):
        by_size = found["log_joint"][moment]
        assert set(by_size) == {"1", "2"}
        ones = [found["subsets"][m][f"log_joint_{moment}"] for m in "ab"]
        assert by_size["1"] == pytest.approx(np.mean(ones))
        assert set(found["coherence"][moment]) == {"1"}
        assert 0 <= found["ceiling"][moment] <= 1
