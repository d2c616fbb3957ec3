"""Chains through linear decoders find the posterior that is known in closed form."""

import copy
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import linear_gaussian, random_like

from jnf_jax.methods.decoder_posterior import DecoderPosterior, Reweighting
from jnf_jax.methods.joint_vae import View
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.networks.decoders import MlpDecoder
from jnf_jax.priors.diffusion import DiffusionFamily
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.sampling import KHAT_LIMIT, ChainSettings

SIZES = {"a": 2, "b": 3, "c": 2}
TRUTH = linear_gaussian(SIZES, 2, seed=3)
NUM = 2_000
NORMAL, CHAINS = NormalFamily(), ChainSettings(num_transitions=60)


@functools.cache
def make(names=tuple(SIZES), prior=NORMAL, weight=1.0, chains=CHAINS, is_weighted=True):
    """JNF whose decoders are those of ``TRUTH``; its encoders know nothing of it."""
    method = build_method(
        "jnf",
        {m: (SIZES[m],) for m in names},
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(4,))},
            {"default": LikelihoodSettings("normal", 0.5)},
            prior=prior,
        ),
        flow=FlowSettings(num_blocks=1, hidden_sizes=(4,)),
        sampler=ChainSettings(num_transitions=5, num_adaptation=5),
    )
    params = {
        stage.name: random_like(jax.eval_shape(stage.init, jax.random.key(0)), seed)
        for seed, stage in enumerate(method.stages)
    }
    # One mass for all data: random encoders would give them very different ones.
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: 0 * x if "log_variance" in str(path) else x, params
    )
    views = tuple(
        View(
            m,
            (SIZES[m],),
            MlpDecoder((SIZES[m],), (), "identity"),
            "normal",
            TRUTH.noises[m],
            weight,
        )
        for m in names
    )
    params["joint"]["decoders"] = {
        m: {
            "Dense_0": {
                "kernel": jnp.asarray(TRUTH.weights[m].T, jnp.float32),
                "bias": jnp.asarray(TRUTH.offsets[m], jnp.float32),
            }
        }
        for m in names
    }
    joint = dataclasses.replace(method.inference.joint, views=views)
    inference = dataclasses.replace(method.inference, joint=joint)
    return DecoderPosterior(inference, chains, is_weighted), params


def one_datum():
    _, views = TRUTH.sample(seed=4, num=1)
    return views


def repeated(views, num=NUM):
    return {
        m: jnp.asarray(np.repeat(x, num, axis=0), jnp.float32) for m, x in views.items()
    }


def normal(seed, *shape):
    draws = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draws, jnp.float32)


def chains_of(posterior, params, views, subset, start):
    step_size = posterior.adapt(params, jax.random.key(1), views, subset, start)
    return posterior.refine(params, jax.random.key(2), views, subset, start, step_size)


@pytest.mark.parametrize("subset", [("a",), ("a", "c"), ("a", "b", "c")])
def test_moments_are_those_of_the_exact_posterior(subset):
    """From a start far away; an absent modality is NaN and is not noticed."""
    posterior, params = make()
    datum = one_datum()
    absent = {m: np.full_like(datum[m], np.nan) for m in SIZES if m not in subset}
    start = 3.0 + normal(0, NUM, 2)
    if len(subset) == len(SIZES):
        absent = {}
    z, info = chains_of(posterior, params, repeated(datum | absent), subset, start)
    z = np.asarray(z, np.float64)
    mean, covariance = TRUTH.posterior({m: datum[m] for m in subset})
    # 2,000 chains are 2,000 independent draws; 5 standard errors.
    error = np.sqrt(np.diag(covariance) / NUM)
    assert (np.abs(z.mean(0) - mean[0]) < 5 * error).all()
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(z.T) - covariance) < 5 * spread * (2 / NUM) ** 0.5).all()
    assert 0.6 < info.acceptance.mean() < 0.98


@pytest.mark.parametrize("is_weighted", [False, True])
def test_powers_are_one_or_those_of_training(is_weighted):
    """λ = 2.5: weighted, precisions are I + λ Σ_m A_mᵀA_m/σ_m², else as if λ were 1."""
    posterior, params = make(weight=2.5, is_weighted=is_weighted)
    datum, power = one_datum(), 2.5 if is_weighted else 1.0
    precision = np.eye(2) + power * (TRUTH.precision("ac") - np.eye(2))
    mean = np.linalg.solve(
        precision,
        sum(
            power * (datum[m] - TRUTH.offsets[m])[0] @ TRUTH.weights[m]
            / TRUTH.noises[m] ** 2
            for m in "ac"
        ),
    )  # fmt: skip
    covariance = np.linalg.inv(precision)
    start = normal(0, NUM, 2)
    z, _ = chains_of(posterior, params, repeated(datum), ("a", "c"), start)
    z = np.asarray(z, np.float64)
    # 5 standard errors of 2,000 draws; the other power's sd is off by ten and more.
    assert (np.abs(z.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / NUM)).all()
    ratio = z.var(0) / np.diag(covariance)
    assert (np.abs(ratio - 1) < 5 * (2 / NUM) ** 0.5).all()


MALA = ChainSettings("hmc", num_leapfrog=1, num_transitions=200)
ULA = ChainSettings("ula", num_transitions=200, num_adaptation=0, initial_step_size=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("chains", [MALA, ULA], ids=["mala", "ula"])
def test_starts_are_forgotten_by_langevin_too(chains):
    """200 single leapfrog steps; without a Metropolis test the mean is right still."""
    posterior, params = make(chains=chains)
    views = repeated(one_datum())
    mean, covariance = TRUTH.posterior({"b": one_datum()["b"]})
    for shift in (-3.0, 3.0):
        start = shift + normal(0, NUM, 2)
        z, _ = chains_of(posterior, params, views, ("b",), start)
        error = np.sqrt(np.diag(covariance) / NUM)
        assert (np.abs(np.asarray(z).mean(0) - mean[0]) < 5 * error).all()


def test_log_joint_is_that_of_the_model():
    posterior, params = make()
    _, views = TRUTH.sample(seed=5, num=7)
    z = np.random.default_rng(0).standard_normal((7, 2))
    terms = TRUTH.log_likelihood(z, views)
    log_prior = -0.5 * (z**2).sum(-1) - np.log(2 * np.pi)
    views = {m: jnp.asarray(x, jnp.float32) for m, x in views.items()}
    z = jnp.asarray(z, jnp.float32)
    for subset in [("b",), ("a", "c")]:
        got = posterior.log_joint(params, views, subset, z)
        expected = log_prior + sum(terms[m] for m in subset)
        np.testing.assert_allclose(got, expected, rtol=2e-4)


def test_an_energy_prior_and_likelihood_weights_enter():
    family = EnergyFamily(hidden_sizes=(8,))
    posterior, params = make(prior=family, weight=2.5)
    prior = family.bind(params["joint"]["prior"], 2)
    _, views = TRUTH.sample(seed=5, num=7)
    z = np.random.default_rng(0).standard_normal((7, 2))
    terms = TRUTH.log_likelihood(z, views)
    got = posterior.log_joint(
        params,
        {m: jnp.asarray(x, jnp.float32) for m, x in views.items()},
        ("a", "b"),
        jnp.asarray(z, jnp.float32),
    )
    tilted = np.asarray(prior.log_density(jnp.asarray(z, jnp.float32)))
    assert np.abs(prior.tilt(jnp.asarray(z, jnp.float32))).max() > 0.05
    expected = tilted + 2.5 * (terms["a"] + terms["b"])
    np.testing.assert_allclose(got, expected, rtol=2e-4)


@pytest.mark.parametrize("refine", ["resample", "irmh", "irmh_hmc"])
def test_weights_make_draws_of_a_wider_posterior_those_of_the_model(refine):
    """Of the mixture of two experts that know nothing of the model, given two views."""
    posterior, params = make()
    datum, subset = one_datum(), ("a", "c")
    mean, covariance = TRUTH.posterior({m: datum[m] for m in subset})
    how = Reweighting(refine, num_proposals=100 if refine == "irmh_hmc" else 400)
    z, info = jax.device_get(
        posterior.reweight(params, jax.random.key(0), repeated(datum), subset, how)
    )
    # 4 standard errors of 2,000 draws; before them the law was another by twenty.
    variance = np.diag(covariance)
    assert (np.abs(z.mean(0) - mean[0]) < 4 * np.sqrt(variance / NUM)).all()
    assert (np.abs(z.var(0) / variance - 1) < 4 * (2 / NUM) ** 0.5).all()
    assert (info.quality.khat < KHAT_LIMIT).mean() > 0.9
    assert 0.02 < np.median(info.quality.ess) / how.num_proposals < 1
    assert (info.acceptance is None) == (refine == "resample")
    assert (info.moved is not None) == (refine == "irmh_hmc")


def test_tempering_reaches_the_model_from_where_weights_do_not():
    """Of an expert a tenth as wide, elsewhere; where k̂ is good, weights alone draw."""
    posterior, params = make()
    narrow = copy.deepcopy(params)
    for expert in narrow["unimodal"].values():
        expert["encoder"]["log_variance"]["bias"] -= 4.6
    datum, num, key = one_datum(), 500, jax.random.key(0)
    mean, covariance = TRUTH.posterior({"a": datum["a"]})
    how = Reweighting("smc", num_proposals=100, num_temperatures=16)
    views = repeated(datum, num)
    z, info = jax.device_get(posterior.reweight(narrow, key, views, ("a",), how))
    z, moved = z[info.tempered], jax.tree.map(lambda x: x[info.tempered], info)
    assert len(z) > 250 and 0.4 < moved.acceptance.mean() < 0.95
    assert (moved.quality.khat < KHAT_LIMIT).mean() > 0.9
    # Which rows these are, other proposals have told: 4 standard errors of the draws.
    variance, num = np.diag(covariance), len(z)
    assert (np.abs(z.mean(0) - mean[0]) < 4 * np.sqrt(variance / num)).all()
    assert (np.abs(z.var(0) / variance - 1) < 4 * (2 / num) ** 0.5).all()
    # The same program where all weights are good.
    z, info = posterior.reweight(params, key, views, ("a",), how)
    plain = dataclasses.replace(how, refine="resample")
    expected, of_weights = posterior.reweight(params, key, views, ("a",), plain)
    is_good = np.asarray(of_weights.quality.khat) <= KHAT_LIMIT
    np.testing.assert_array_equal(info.tempered, ~is_good)
    np.testing.assert_array_equal(np.asarray(z)[is_good], np.asarray(expected)[is_good])
    assert is_good.mean() > 0.9


def test_what_moves_draws_knows_the_model_alone():
    for refine in ("chains", "irmh_hmc", "smc"):
        told = Reweighting(refine, target="experts").cross_faults("refinement")
        assert told == [
            "`refinement.target` is 'experts', expected 'model' with `refine` "
            f"{refine!r}; the chains of `sampler` are on the product of experts"
        ]
    assert not Reweighting("irmh", target="experts").cross_faults("refinement")


def test_weights_are_of_a_density():
    posterior, params = make()
    inference = dataclasses.replace(
        posterior.inference,
        quotient=Quotient("fitted"),
        fitted=DiffusionFamily(),
    )
    posterior = dataclasses.replace(posterior, inference=inference)
    args = (params, jax.random.key(0), repeated(one_datum(), 2), ("a", "b"))
    with pytest.raises(ValueError, match="`refinement.target` is 'experts', .* score"):
        posterior.reweight(*args, Reweighting("resample", 2, "experts"))


def test_diagnosis_sees_chains_that_agree():
    posterior, params = make()
    starts = 2.0 * normal(0, 4, 16, 2)
    views = repeated(one_datum(), 16)
    step_size = posterior.adapt(params, jax.random.key(1), views, ("a",), starts[0])
    found = posterior.diagnose(
        params, jax.random.key(2), views, ("a",), starts, step_size
    )
    assert found.num_draws == 240 and found.rhat_median < 1.05


@pytest.mark.parametrize("name", ["log_joint", "adapt", "refine", "diagnose"])
def test_an_unknown_modality_is_refused(name):
    posterior, params = make()
    before = (params,) if name == "log_joint" else (params, jax.random.key(0))
    after = (jnp.float32(0.1),) if name in ("refine", "diagnose") else ()
    z = jnp.zeros((3, 2, 2) if name == "diagnose" else (2, 2))
    with pytest.raises(ValueError, match=r"`subset` is \['x'\], expected"):
        getattr(posterior, name)(*before, repeated(one_datum(), 2), ("x",), z, *after)
