"""All parts on a linear-Gaussian model: silent where inference is exact, else heard."""

import dataclasses
import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.evaluation.measures import posterior_match
from jnf_jax.evaluation.measures.posterior_match import (
    Settings,
    chain_test,
    draw_truth,
    measure,
    subset_ranks,
    uniformity,
    unimodal_test,
)
from jnf_jax.evaluation.posterior import posterior_gap
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.subset import SubsetInference
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.sampling import ChainSettings
from tests.methods.test_decoder_posterior import TRUTH, make

NAMES = ("a", "b", "c")
SETTINGS = ProtocolSettings(batch_size=1_000)


@dataclasses.dataclass(frozen=True)
class Known(SubsetInference):
    """q_S = p(z|x_S) of ``TRUTH``, its sd times ``width``, precision plus ``excess``.

    A product that is divided by the prior once too rarely has an ``excess`` of 1.
    """

    width: float = 1.0
    excess: float = 0.0

    def posterior(self, views, subset):
        weighted = sum(
            (views[m] - TRUTH.offsets[m]) @ TRUTH.weights[m] / TRUTH.noises[m] ** 2
            for m in subset
        )
        precision = TRUTH.precision(subset) + self.excess * np.eye(2)
        covariance = np.linalg.inv(precision)
        return distrax.MultivariateNormalTri(
            jnp.asarray(weighted @ covariance, jnp.float32),
            jnp.asarray(self.width * np.linalg.cholesky(covariance), jnp.float32),
        )

    def infer(self, params, rng_key, views, subset, step_size=None):
        return self._draw(rng_key, {m: views[m] for m in subset}), None

    @functools.partial(jax.jit, static_argnums=0)
    def _draw(self, rng_key, views):
        return self.posterior(views, sorted(views)).sample(seed=rng_key)

    def adapt(self, params, rng_key, views, subset):
        return None

    def base_scale(self, params, views, subset):
        scale = np.sqrt(np.diag(np.linalg.inv(TRUTH.precision(subset))))
        return jnp.broadcast_to(scale, (len(views[subset[0]]), 2))

    def joint_log_prob(self, params, views, z):
        return self.posterior(views, NAMES).log_prob(z)

    def unimodal_log_probs(self, params, views, z):
        return {m: self.posterior(views, (m,)).log_prob(z) for m in NAMES}


@functools.cache
def known(width=1.0, excess=0.0, weight=1.0):
    """Inference, and parameters with the decoders of ``TRUTH``."""
    posterior, params = make(weight=weight)
    fields = {
        field.name: getattr(posterior.inference, field.name)
        for field in dataclasses.fields(SubsetInference)
    }
    return Known(**fields, width=width, excess=excess), params


def held_out(num):
    _, views = TRUTH.sample(seed=6, num=num)
    return HeldOut(
        {m: jnp.asarray(x, jnp.float32) for m, x in views.items()},
        lambda arrays, rows: {m: x[rows] for m, x in arrays.items()},
        num,
    )


def subject(inference, params, held_out, protocol=SETTINGS, **options):
    return Subject(inference, params, None, held_out, None, protocol, **options)


def test_gap_is_the_information_that_the_others_add():
    """E KL(p(z|X) ‖ p(z|x_m)) = I(z; x_{−m}|x_m) = ½ log |Λ_X|/|Λ_m|."""
    gap, error = posterior_gap(subject(*known(), held_out(4_000)))
    log_det = {s: np.linalg.slogdet(TRUTH.precision(s))[1] for s in (*NAMES, NAMES)}
    for m in NAMES:
        assert abs(gap[m] - 0.5 * (log_det[NAMES] - log_det[m])) < 4 * error[m]
        assert 0 < error[m] < 0.05


def test_gap_grows_where_experts_are_too_narrow():
    exact, _ = posterior_gap(subject(*known(), held_out(1_000)))
    # Both sides of the ratio are narrower, but the draws miss x_m's expert by more.
    wrong = dataclasses.replace(known()[0], width=0.7)
    joint, params = known()
    mixed = _Mixed(**_fields(joint), narrow=wrong)
    gap, error = posterior_gap(subject(mixed, params, held_out(1_000)))
    assert all(gap[m] > exact[m] + 4 * error[m] for m in NAMES)


@pytest.mark.parametrize(("width", "heard"), [(1.0, False), (0.7, True)])
def test_pairs_are_told_apart_only_where_an_expert_is_wrong(width, heard):
    joint, params = known()
    mixed = _Mixed(**_fields(joint), narrow=known(width)[0])
    found = unimodal_test(subject(mixed, params, held_out(2_000)), "b", 2_000)
    if heard:
        assert found.accuracy > 0.5 + 4 * found.standard_error
    else:
        assert abs(found.accuracy - 0.5) < 4 * found.standard_error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subset", "wrong", "heard"),
    [
        (("a", "c"), {}, False),
        (("a", "c"), {"excess": 1.0}, True),
        (("b",), {}, False),
        (("b",), {"width": 0.7}, True),
    ],
)
def test_chains_tell_a_wrong_posterior(subset, wrong, heard):
    """Given two: the product over prior^(|S|−1), and over one prior less."""
    inference, params = known(**wrong)
    chains = ChainSettings(num_transitions=40)
    posterior = DecoderPosterior(inference, chains, is_weighted=False)
    views = held_out(16).views(np.arange(16))
    found, diagnosis, acceptance = chain_test(
        posterior, params, jax.random.key(0), views, subset, 128
    )
    assert diagnosis.rhat_median < 1.05 and acceptance > 0.6
    if heard:
        assert found.accuracy > 0.5 + 4 * found.standard_error
    else:
        assert abs(found.accuracy - 0.5) < 4 * found.standard_error


def test_chains_have_unit_powers_whatever_was_trained(monkeypatch):
    inference, params = known(weight=2.5)
    seen, tuples = {}, held_out(16)

    def look(posterior, params, rng_key, views, subset, num_chains, *, seed, mesh):
        seen["found"] = posterior.log_joint(params, views, subset, jnp.ones((16, 2)))
        raise KeyboardInterrupt

    monkeypatch.setattr(posterior_match, "chain_test", look)
    with pytest.raises(KeyboardInterrupt):
        posterior_match._against_chains(
            subject(inference, params, tuples), ("a",), Settings(num_chain_data=16)
        )
    terms = TRUTH.log_likelihood(np.ones((16, 2)), tuples.arrays)
    expected = terms["a"] - 1 - np.log(2 * np.pi)
    np.testing.assert_allclose(seen["found"], expected, rtol=2e-4)


@pytest.mark.slow
def test_exact_draws_are_told_from_chains_with_other_powers_only():
    """λ = 2.5 in training; the draws are of p(z|x_S)."""
    inference, params = known(weight=2.5)
    tuples = held_out(16)
    settings = Settings(num_chain_data=16, num_chains=32, num_transitions=20)
    found = posterior_match._against_chains(
        subject(inference, params, tuples), ("a",), settings
    )
    assert abs(found["accuracy"] - 0.5) < 4 * found["standard_error"]
    weighted, _, _ = chain_test(
        DecoderPosterior(inference, ChainSettings(num_transitions=20), True), params,
        jax.random.key(0), tuples.views(np.arange(16)), ("a",), 32,
    )  # fmt: skip
    assert weighted.accuracy > 0.5 + 4 * weighted.standard_error


@pytest.mark.parametrize(
    "subset", [("b",), pytest.param(NAMES, marks=pytest.mark.slow)]
)
def test_ranks_are_uniform_under_the_exact_posterior_only(subset):
    inference, params = known()
    truth = draw_truth(inference, params, jax.random.key(0), 1_000, jnp.zeros((1, 2)))
    assert truth.chains is None
    for width, outer in ((1.0, None), (0.6, 1.4), (1.6, 0.6)):
        inference = known(width)[0]
        ranks = subset_ranks(
            inference, params, jax.random.key(1), truth.z, subset, 31, batch_size=1_000
        )
        of_z, of_likelihood = (uniformity(found, 31) for found in ranks)
        if outer is None:
            assert min(of_z.p_value, of_likelihood.p_value) > 1e-3
            continue
        assert max(of_z.p_value, of_likelihood.p_value) < 1e-6
        assert (of_z.outer > outer) == (width < 1)


def test_ranks_tell_a_wrong_product():
    truth = draw_truth(*known(), jax.random.key(0), 1_000, jnp.zeros((1, 2)))
    for excess in (0.0, 1.0):
        inference, params = known(excess=excess)
        ranks, _ = subset_ranks(
            inference, params, jax.random.key(1), truth.z, ("a", "c"), 31,
            batch_size=1_000,
        )  # fmt: skip
        assert (uniformity(ranks, 31).p_value < 1e-6) == (excess > 0)


@pytest.mark.slow
def test_an_unnormalised_prior_is_drawn_from_by_long_chains():
    """An energy with another reference: z* has the moments of the density, not of
    the few Langevin steps that ``sample_prior`` takes."""
    family = EnergyFamily(hidden_sizes=(), num_steps=1, step_size=1e-6)
    posterior, params = make(prior=family)
    inference = posterior.inference
    prior = inference.prior_of(params, "energy")
    truth = draw_truth(inference, params, jax.random.key(0), 800, 2 + jnp.zeros((9, 2)))
    assert truth.z.shape == (800, 2) and truth.chains.diagnostics.rhat_max < 1.05
    # f is linear: exp(f) tilts N(0, I) to N(slope, I).
    slope = jax.grad(prior.tilt)(jnp.zeros(2))
    assert jnp.abs(slope).max() > 0.3
    # 50 chains of 16 draws, 150 steps apart; 5 standard errors.
    assert (jnp.abs(truth.z.mean(0) - slope) < 5 / 800**0.5).all()
    assert (jnp.abs(truth.z.std(0) - 1) < 5 / 1_600**0.5).all()


def test_a_draw_that_is_not_finite_is_no_rank():
    inference, params = known()
    wrong = dataclasses.replace(inference, width=float("inf"))
    with pytest.raises(ValueError, match=r"q\(z\|a\): got draws that are not finite"):
        subset_ranks(
            wrong, params, jax.random.key(0), jnp.zeros((80, 2)), ("a",), 15,
            batch_size=80,
        )  # fmt: skip


@pytest.mark.slow
def test_the_record_has_every_part():
    settings = Settings(
        num_pairs=80, num_chain_data=5, num_chains=8, num_transitions=4,
        num_calibration_data=80, num_calibration_draws=15,
    )  # fmt: skip
    lines = []
    protocol = ProtocolSettings(batch_size=40)
    of = subject(*known(), held_out(100), protocol, report=lines.append)
    found = measure(of, settings)
    assert set(found["unimodal"]) == set(NAMES)
    assert set(found["chains"]) == {"a", "a+b", "a+b+c"}
    assert set(found["calibration"]) == {"a", "b", "c", "a+b", "a+b+c"}
    assert found["chains"]["a"]["detectable"] == 0.5 + 2 / 80**0.5
    assert found["unimodal"]["a"]["detectable"] == 0.5 + 2 / 160**0.5
    histogram = found["calibration"]["a"]["z"]["histogram"]
    assert np.mean(list(histogram.values())) == pytest.approx(1)
    assert all(type(leaf) is float for leaf in jax.tree.leaves(found))
    assert any(line.startswith("calibration given a: p ") for line in lines)


def test_subsets_are_chosen_by_size():
    names = ("a", "b", "c", "d")
    one_each = [("a",), ("a", "b"), ("a", "b", "c"), names]
    assert posterior_match._chosen(names, 1) == one_each
    assert len(posterior_match._chosen(names, 0)) == 4 + 6 + 4 + 1
    assert posterior_match._chosen(("a", "b"), 1) == [("a",), ("a", "b")]


def test_faults_are_told_all_at_once():
    wrong = Settings(
        num_pairs=39, num_chain_data=0, num_chains=3, num_transitions=3,
        num_subsets=-1, num_calibration_data=79, num_calibration_draws=30,
    )  # fmt: skip
    told = options.faults(wrong, "evaluation.posterior_match")
    assert len(told) == 8
    assert told[0] == "`evaluation.posterior_match.num_pairs` is 39, expected >= 40"
    assert not options.faults(Settings())


@dataclasses.dataclass(frozen=True)
class _Mixed(Known):
    """Exact given all; single modalities as ``narrow`` has them."""

    narrow: Known | None = None

    def infer(self, params, rng_key, views, subset, step_size=None):
        which = self.narrow if len(subset) == 1 else super()
        return which.infer(params, rng_key, views, subset)

    def unimodal_log_probs(self, params, views, z):
        return self.narrow.unimodal_log_probs(params, views, z)


def _fields(known):
    return {f.name: getattr(known, f.name) for f in dataclasses.fields(known)}
