"""MMVAE+ as a method: what it trains, and what it infers from which modalities."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.losses import Latent, energy_contrast
from jnf_jax.methods.method import Batch, Inference
from jnf_jax.methods.mmvae_plus import ExpertSettings
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import (
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.laplace import LaplaceFamily
from jnf_jax.priors.registry import FITTED_FAMILIES, PRIORS
from jnf_jax.priors.vamp import VampFamily
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2, 2, 1), "c": (2,)}
ENERGY = EnergyFamily(hidden_sizes=(8,), num_steps=5)
VAMP = VampFamily(kind="laplace", num_components=4)
OWN = {"energy": ENERGY, "vamp": VAMP}


@functools.cache
def make(prior=LaplaceFamily(), fitted=None, **experts):  # noqa: B008
    """The method, and parameters away from init."""
    method = build_method(
        "mmvae_plus",
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            {"default": LikelihoodSettings("normal", 0.5)},
            beta=2.5,
            prior=prior,
        ),
        flow=FlowSettings(),
        sampler=ChainSettings(),
        experts=ExpertSettings(**{"private_dim": 3} | experts),
        fitted_prior=fitted,
    )
    shapes = jax.eval_shape(method.stages[0].init, jax.random.key(0))
    return method, {"joint": random_like(shapes, 0, scale=1.5)}


def views(num, seed=0):
    rng = np.random.default_rng(seed)
    return {
        m: jnp.asarray(rng.random((num, *s)), jnp.float32) for m, s in SHAPES.items()
    }


def one(num):
    """The same datum ``num`` times."""
    return {m: jnp.asarray(np.repeat(x, num, axis=0)) for m, x in views(1).items()}


def codes_of(method, params, x):
    """What the experts say of the views, as NumPy arrays."""
    return jax.device_get(jax.jit(method.inference.joint.code)(params["joint"], x))


def laplace_log_prob(z, mean=0.0, scale=1.0):
    return (-np.abs(z - mean) / scale - np.log(2 * scale)).sum(-1)


def laplace_moments(code):
    """Mean and variance of Laplace(mean, scale), of the first row."""
    return code.mean[0], 2 * np.square(code.scale[0])


def check_moments(draws, mean, variance):
    """Within 5 standard errors of a mean; of a variance, a Laplace's kurtosis is 6."""
    draws, num = np.asarray(draws), len(draws)
    assert (np.abs(draws.mean(0) - mean) < 5 * (variance / num) ** 0.5).all()
    np.testing.assert_allclose(draws.var(0), variance, rtol=5 * (5 / num) ** 0.5)


@pytest.mark.parametrize("subset", [("b",), ("c", "a"), ("a", "b", "c")])
def test_a_subset_is_the_mixture_of_its_experts(subset):
    method, params = make()
    num = 20_000
    latent, info = jax.device_get(
        method.inference.infer(params, jax.random.key(1), one(num), subset)
    )
    codes = codes_of(method, params, one(1))
    assert info is None and sorted(latent.private) == ["a", "b", "c"]
    means, variances = np.transpose(
        [laplace_moments(codes[m].shared) for m in subset], (1, 0, 2)
    )
    mean = means.mean(0)
    variance = variances.mean(0) + means.var(0)
    error = 5 * (variance / num) ** 0.5
    assert (np.abs(latent.shared.mean(0) - mean) < error).all()
    np.testing.assert_allclose(latent.shared.var(0), variance, rtol=0.06)
    for m in SHAPES:
        given = m in subset
        own = laplace_moments(codes[m].private) if given else (np.zeros(3), np.full(3, 2.0))  # fmt: skip # noqa: E501
        check_moments(latent.private[m], *own)


def test_each_datum_takes_one_expert_whole():
    """With scales near 0 every z is the mean of one expert, in all dimensions."""
    method, params = make(scale="exp")
    for m in SHAPES:
        shared = params["joint"]["experts"][m]["shared"]
        shared["log_variance"]["bias"] = jnp.full(2, -30.0)
    x = views(300)
    latent, _ = method.inference.infer(params, jax.random.key(0), x, ("a", "b", "c"))
    codes = codes_of(method, params, x)
    means = np.stack([codes[m].shared.mean for m in sorted(SHAPES)])
    distance = np.abs(np.asarray(latent.shared) - means).max(-1)
    assert (distance.min(0) < 1e-3).all()
    counts = np.bincount(distance.argmin(0), minlength=3)
    # 100 expected, standard deviation 8.2.
    assert (np.abs(counts - 100) < 41).all()


def test_what_is_not_given_is_not_read():
    method, params = make()
    x = views(5)
    key = jax.random.key(0)
    alone, _ = method.inference.infer(params, key, {"b": x["b"]}, ("b",))
    among, _ = method.inference.infer(params, key, x, ("b",))
    jax.tree.map(np.testing.assert_array_equal, alone, among)
    with pytest.raises(ValueError, match="`subset` is empty"):
        method.inference.infer(params, key, x, ())


def test_joint_draws_have_a_private_latent_a_modality():
    method, params = make()
    inference, num = method.inference, 20_000
    latent = jax.device_get(inference.sample_prior(params, jax.random.key(0), num))
    assert isinstance(inference, Inference) and inference.prior_names == ("laplace",)
    everything = np.concatenate([latent.shared, *latent.private.values()], axis=1)
    check_moments(everything, np.zeros(11), np.full(11, 2.0))
    correlation = np.corrcoef(everything.T) - np.eye(11)
    assert np.abs(correlation).max() < 5 / num**0.5
    means = jax.eval_shape(
        lambda z: {m: p.mean() for m, p in inference.decode(params, z).items()}, latent
    )
    assert {m: mean.shape[1:] for m, mean in means.items()} == SHAPES
    with pytest.raises(ValueError, match=r"`name` is 'gmm', expected.*'laplace'"):
        inference.sample_prior(params, jax.random.key(0), 5, "gmm")


def test_unimodal_log_probs_are_the_experts():
    method, params = make()
    x = views(4)
    z = Latent(jnp.ones((4, 2)), {})
    got = jax.jit(method.inference.unimodal_log_probs)(params, x, z)
    for m, code in codes_of(method, params, x).items():
        expected = laplace_log_prob(1.0, code.shared.mean, code.shared.scale)
        np.testing.assert_allclose(got[m], expected, rtol=1e-4)


def test_scales_average_to_one_by_softmax():
    method, params = make()
    for code in codes_of(method, params, views(4)).values():
        np.testing.assert_allclose(code.shared.scale.mean(-1), 1.0, rtol=1e-4)
        np.testing.assert_allclose(code.private.scale.mean(-1), 1.0, rtol=1e-4)
        assert float(code.shared.scale.std()) > 0.05


def gradient_of(stage, params, batch, key):
    loss = lambda params: stage.loss(params, None, key, batch)[0]  # noqa: E731
    return jax.jit(jax.grad(loss))(params)


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("name", "private_dim"), [*((name, 3) for name in sorted(PRIORS)), ("laplace", 0)]
)
def test_every_part_learns_with_every_prior(name, private_dim):
    prior = OWN.get(name) or PRIORS[name]()
    method, params = make(prior, private_dim=private_dim)
    gradient = gradient_of(
        method.stages[0], params["joint"], Batch(views(6)), jax.random.key(0)
    )
    parts = {"experts", "decoders"} | ({"auxiliary"} if private_dim else set())
    learnt = jax.eval_shape(lambda: prior.init(jax.random.key(0), 2, SHAPES))
    assert set(gradient) == parts | ({"prior"} if learnt else set())
    for part, tree in gradient.items():
        assert all(largest(leaf) > 0 for leaf in tree.values()), part
    draws = method.inference.sample_prior(params, jax.random.key(0), 4)
    assert draws.shared.shape == (4, 2) and draws.private["a"].shape == (4, private_dim)


def test_vamp_is_the_mixture_of_all_experts_at_its_pseudo_inputs():
    method, params = make(VAMP)
    mixture, params = method.inference.joint, params["joint"]
    z = np.float32(np.random.default_rng(2).standard_normal((5, 2)))
    pseudo_inputs = jax.tree.map(jax.nn.sigmoid, params["prior"])
    codes = codes_of(method, {"joint": params}, pseudo_inputs).values()
    each = [laplace_log_prob(z[:, None], *code.shared[:2]) for code in codes]
    expected = np.logaddexp.reduce(np.concatenate(each, axis=1), axis=1) - np.log(3 * 4)
    log_density = jax.jit(lambda params, z: mixture.prior_of(params).log_density(z))
    got = log_density(params, z)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`model.prior.kind` is 'normal', expected 'l"):
        make(VampFamily())


def test_an_energy_learns_from_weighted_draws_of_every_expert():
    method, params = make(ENERGY, num_importance_samples=2)
    mixture, params = method.inference.joint, params["joint"]
    key, x = jax.random.key(0), views(6)
    got = gradient_of(method.stages[0], params, Batch(x), key)
    terms = jax.jit(mixture.objective)(params, key, x)
    chain_key = jax.random.fold_in(key, zlib.crc32(b"chains"))

    @jax.jit
    @jax.grad
    def contrast(prior, z, weights):
        negatives, _ = ENERGY.bind(params["prior"], 2).run(chain_key, 3 * 2 * 6)
        return energy_contrast(
            prior, z.reshape(-1, 2), negatives, tilt=ENERGY.tilt,
            weights=weights.reshape(-1) / 6,
        )  # fmt: skip

    expected = contrast(params["prior"], terms.z, terms.weights)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-6),
        got["prior"],
        expected,
    )
    # All else learns from the bound, as if the energy were fixed.
    bound = jax.jit(jax.grad(lambda p: -mixture.objective(p, key, x)[0].mean()))
    rest = bound(params)
    for part in ("experts", "decoders", "auxiliary"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
            got[part],
            rest[part],
        )
    assert largest(rest["prior"]) == 0


@pytest.mark.parametrize("name", sorted(FITTED_FAMILIES))
def test_a_prior_is_fitted_to_draws_of_the_mixture(name):
    method, params = make(fitted=FITTED_FAMILIES[name]())
    assert [stage.name for stage in method.stages] == ["joint", "prior"]
    assert method.inference.prior_names == ("laplace", f"{name}_after")
    stage = method.stages[-1]
    cached = jax.jit(stage.cache)(params, one(4_000))
    # The same draws as ``infer`` makes from all modalities: both ask draw_cached.
    draw_cached = jax.jit(method.inference.joint.draw_cached)
    z = np.asarray(draw_cached(jax.random.key(0), cached))
    full, _ = jax.device_get(
        method.inference.infer(params, jax.random.key(1), one(4_000), ("a", "b", "c"))
    )
    error = (z.var(0) * 2 / len(z)) ** 0.5
    assert (np.abs(z.mean(0) - full.shared.mean(0)) < 5 * error).all()
    params["prior"] = jax.jit(stage.init)(jax.random.key(0))
    few = Batch({}, jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[:6]), cached))
    assert largest(gradient_of(stage, params["prior"], few, jax.random.key(1))) > 0
    draws = method.inference.sample_prior(params, jax.random.key(2), 5, f"{name}_after")
    assert draws.shared.shape == (5, 2) and draws.private["c"].shape == (5, 3)


def test_later_stages_draw_of_the_experts_that_a_row_has():
    """Of a row with the view b alone q(z|x_b) is all that there is to draw from."""
    method, params = make()
    joint = method.inference.joint
    present = {m: jnp.full(4_000, m == "b") for m in SHAPES}
    cached = jax.jit(joint.cached_posterior)(params, one(4_000), present)
    z = np.asarray(jax.jit(joint.draw_cached)(jax.random.key(0), cached))
    mean = np.asarray(cached["mean"])[0]
    b = sorted(SHAPES).index("b")
    error = z.std(0) / np.sqrt(len(z))
    assert (np.abs(z.mean(0) - mean[b]) < 4 * error).all()
    assert np.abs(z.mean(0) - mean.mean(0)).max() > 8 * error.max()


def test_every_fault_of_the_experts_is_told():
    with pytest.raises(ValueError) as error:
        make(private_dim=-1, family="cauchy", scale="relu", num_importance_samples=0)
    for told in (
        "`experts.private_dim` is -1, expected >= 0",
        "`experts.num_importance_samples` is 0, expected >= 1",
        r"`experts.family` is 'cauchy', expected one of 'normal', 'laplace'",
        r"`experts.scale` is 'relu', expected one of 'exp', 'softmax'",
    ):
        assert told in str(error.value)


@pytest.mark.parametrize(
    ("subset", "private_dim"), [(("b",), 3), (("a", "b", "c"), 3), (("a", "c"), 0)]
)
def test_proposals_have_the_law_and_the_density_of_the_mixture(subset, private_dim):
    method, params = make(private_dim=private_dim)
    inference, x = method.inference, views(2)
    propose = jax.jit(inference.propose, static_argnums=(3, 4))
    latent, log_ratio = jax.device_get(
        propose(params, jax.random.key(0), x, subset, 5_000)
    )
    codes = codes_of(method, params, x)
    log_q = [laplace_log_prob(latent.shared, *codes[m].shared[:2]) for m in subset]
    log_q = np.logaddexp.reduce(log_q) - np.log(len(subset))
    expected = laplace_log_prob(latent.shared) - log_q
    for m in subset if private_dim else ():
        w = latent.private[m]
        expected += laplace_log_prob(w) - laplace_log_prob(w, *codes[m].private[:2])
    np.testing.assert_allclose(log_ratio, expected, atol=2e-4)
    assert all(w.shape == (5_000, 2, private_dim) for w in latent.private.values())
    # The law: 10,000 rows of ``infer`` for the first datum.
    same = {m: np.repeat(view[:1], 10_000, axis=0) for m, view in x.items()}
    drawn, _ = jax.device_get(
        inference.infer(params, jax.random.key(1), jax.device_put(same), subset)
    )
    for got, truth in (
        (latent.shared[:, 0], drawn.shared),
        *((latent.private[m][:, 0], drawn.private[m]) for m in sorted(x)),
    ):
        error = truth.std(0) * np.sqrt(1 / 5_000 + 1 / 10_000)
        assert (np.abs(got.mean(0) - truth.mean(0)) < 5 * error).all()
        # A Laplace's sd has the relative error √(5 / 4 N), 5 of which are 0.1.
        np.testing.assert_allclose(got.std(0), truth.std(0), rtol=0.1)
