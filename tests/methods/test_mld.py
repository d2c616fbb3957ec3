"""MLD: what is drawn given some views, and what either stage learns from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_codes import COVARIANCE, SCHEDULE, exact
from oracles import random_like

from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.method import Batch, Inference, PosteriorDensity
from jnf_jax.methods.mld import MldSettings, draw_given
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.gmm import GaussianMixtureFamily
from jnf_jax.priors.laplace import LaplaceFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2, 2, 1), "c": (2,)}
SIZES = {"a": 2, "b": 1, "c": 3}


@functools.cache
def make(prior=NormalFamily(), dims=(2, 1, 3), **options):  # noqa: B008
    """The method, and parameters away from init."""
    method = build_method(
        "mld",
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            {"default": LikelihoodSettings("normal", 0.5)},
            prior=prior,
        ),
        flow=FlowSettings(),
        sampler=ChainSettings(),
        mld=MldSettings(dims, hidden_size=8, num_layers=1, num_steps=4),
        **options,
    )
    params = {
        stage.name: random_like(jax.eval_shape(stage.init, jax.random.key(0)), i)
        for i, stage in enumerate(method.stages)
    }
    params["joint"] |= {"mean": jnp.arange(6.0), "scale": 1 + jnp.arange(6.0)}
    return method, params


def views(num, seed=0):
    rng = np.random.default_rng(seed)
    return {
        m: jnp.asarray(rng.random((num, *s)), jnp.float32) for m, s in SHAPES.items()
    }


@functools.cache
def draw_exactly():
    """(key, codes {m: f32[B, D_m]}, mask) -> draws by the exact score, compiled."""

    def score(z, t):
        # All rows are at the same times, and ŝ is linear in z: three rows tell it.
        one, z = jnp.eye(3), jnp.concatenate([z["a"], z["b"]], axis=1)
        row = exact(1.0, {"a": one[:, :2], "b": one[:, 2:]}, {m: t[m][:3] for m in t})
        return {m: z @ row[m] for m in row}

    how = dict(scaled_score=score, schedule=SCHEDULE, num_steps=300)
    return jax.jit(functools.partial(draw_given, **how))


@pytest.mark.parametrize("given", ["", "a", "b"])
def test_with_the_exact_score_draws_have_the_exact_conditional(given):
    num, truth = 10_000, np.array([1.5, -0.4, -1.0])
    known = {"": [], "a": [0, 1], "b": [2]}[given]
    free = [i for i in range(3) if i not in known]
    codes = np.full((num, 3), np.nan, np.float32)
    codes[:, known] = truth[known]
    drawn = draw_exactly()(
        jax.random.key(0),
        {"a": jnp.asarray(codes[:, :2]), "b": jnp.asarray(codes[:, 2:])},
        {m: jnp.array(m in given) for m in "ab"},
    )
    z = np.concatenate([drawn["a"], drawn["b"]], axis=1)
    np.testing.assert_array_equal(z[:, known], codes[:, known])
    across = COVARIANCE[np.ix_(free, known)]
    gain = across @ np.linalg.inv(COVARIANCE[np.ix_(known, known)])
    mean = gain @ truth[known]
    covariance = COVARIANCE[np.ix_(free, free)] - gain @ across.T
    sd, z = np.sqrt(np.diag(covariance)), np.float64(z[:, free])
    # 5 standard errors, and 2 % of a standard deviation for 300 Euler steps.
    assert (abs(z.mean(0) - mean) < (5 / num**0.5 + 0.02) * sd).all()
    error = abs(np.cov(z.T) - covariance) / np.outer(sd, sd)
    assert (error < 5 * (2 / num) ** 0.5 + 0.04).all()


def test_a_subset_keeps_its_codes_and_reads_no_other_view():
    method, params = make()
    inference, x = method.inference, views(5)
    assert isinstance(inference, Inference)
    assert not isinstance(inference, PosteriorDensity)
    codes = method.inference.autoencoders.encode(params["autoencoders"], x)
    z, info = inference.infer(params, jax.random.key(0), x, ("c", "a"))
    found = inference.joint.split(z)
    assert info is None and z.shape == (5, 6)
    for m in ("a", "c"):
        np.testing.assert_allclose(found[m], codes[m], rtol=1e-5, atol=1e-5)
    broken = x | {"b": jnp.full_like(x["b"], jnp.nan)}
    again, _ = inference.infer(params, jax.random.key(0), broken, ("a", "c"))
    np.testing.assert_array_equal(again, z)
    # What is given matters to what is drawn.
    other = x | {"a": x["a"] + 3}
    other, _ = inference.infer(params, jax.random.key(0), other, ("a", "c"))
    assert (np.abs(other - z)[:, 2] > 1e-3).all()
    everything, _ = inference.infer(params, jax.random.key(0), x, ("a", "b", "c"))
    for m, part in inference.joint.split(everything).items():
        np.testing.assert_array_equal(part, codes[m])
    decoded = inference.decode(params, everything)
    assert {m: p.mean().shape[1:] for m, p in decoded.items()} == SHAPES
    drawn = inference.sample_prior(params, jax.random.key(1), 7)
    assert drawn.shape == (7, 6) and np.isfinite(drawn).all()
    with pytest.raises(ValueError, match="no log density, .* `sample`"):
        inference.prior_of(params, "diffusion").log_density(drawn)
    with pytest.raises(ValueError, match="`subset` is empty"):
        inference.infer(params, jax.random.key(0), x, ())


def test_codes_are_normalised_by_those_that_there_are():
    method, _ = make()
    rng = np.random.default_rng(0)
    codes = {m: rng.normal(3, 2, (50, n)).astype(np.float32) for m, n in SIZES.items()}
    codes["c"][:, 1] = 7.0  # says nothing
    present = {m: np.arange(50) % 5 != i for i, m in enumerate(SIZES)}
    hidden = {m: np.where(present[m][:, None], z, np.nan) for m, z in codes.items()}
    found = method.stages[1].prepare({"codes": hidden, "present": present})
    shown = [codes[m][present[m]] for m in SIZES]
    mean = np.concatenate([z.mean(0) for z in shown])
    scale = np.concatenate([z.std(0) for z in shown])
    scale[4] = 1.0
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["scale"], scale, rtol=1e-4)


def test_autoencoders_learn_apart_and_the_moments_not_at_all():
    method, params = make()
    first, second = method.stages
    x = views(4)

    @jax.jit
    def gradient(views):
        return jax.grad(
            lambda p: first.loss(p, {}, jax.random.key(0), Batch(views))[0]
        )(params["autoencoders"])

    found, other = gradient(x), gradient(x | {"a": x["a"] + 1})
    for part in ("encoders", "decoders"):
        leaves = zip(
            jax.tree.leaves(found[part]["b"]), jax.tree.leaves(other[part]["b"]),
            strict=True,
        )  # fmt: skip
        assert all((one == two).all() for one, two in leaves)
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(found[part])) > 0
    cached = jax.jit(second.cache)(params, x)
    batch = Batch({}, cached)
    learnt = jax.jit(
        jax.grad(lambda p: second.loss(p, None, jax.random.key(0), batch)[0])
    )
    found = learnt(params["joint"])
    assert not found["mean"].any() and not found["scale"].any()
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(found["network"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(dims=(2, 1)), r"`mld.latent_dims` is \(2, 1\), expected one for each of"),
        (dict(prior=LaplaceFamily()), "expected 'normal' with method 'mld'"),
        (dict(fitted_prior=GaussianMixtureFamily()), "expected none with method 'mld'"),
        (dict(denoiser=DenoiserSettings()), "`denoiser` is not for 'mld'"),
        (dict(quotient=Quotient("prior", 0.1)), "'mld' infers by a diffusion and"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
