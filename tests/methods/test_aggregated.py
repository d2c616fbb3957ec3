"""Methods whose posterior is made of unimodal ones: what they infer and what learns."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.losses.mopoe import non_empty_subsets
from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.method import Batch, SubsetDensity
from jnf_jax.methods.mmvae import MmvaeSettings
from jnf_jax.methods.mvtcae import MvtcaeSettings
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import (
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.laplace import LaplaceFamily
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.priors.vamp import VampFamily
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2, 2, 1), "c": (2,)}
NAMES = ("a", "b", "c")
NORMAL_ONLY = ("mvae", "mmjsd")
METHODS = (*NORMAL_ONLY, "mmvae", "mopoe", "mvtcae")
NUM = 5_000


@functools.cache
def make(name, prior=NormalFamily(), **options):  # noqa: B008
    """The method, and parameters away from init."""
    if name == "mmvae":
        options.setdefault("mmvae", MmvaeSettings("normal", "exp"))
    method = build_method(
        name,
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
        **options,
    )
    shapes = jax.eval_shape(method.stages[0].init, jax.random.key(0))
    return method, {"joint": random_like(shapes, 0, scale=1.5)}


def views(num, seed=0):
    """The same datum ``num`` times."""
    rng = np.random.default_rng(seed)
    one = {m: rng.random((1, *s), np.float32) for m, s in SHAPES.items()}
    return {m: jnp.asarray(np.repeat(x, num, axis=0)) for m, x in one.items()}


def components(name, method, params, subset):
    """Means and scales of what q(z|x_S) is the even mixture of, in float64."""
    codes = jax.jit(method.inference.joint.code)(params["joint"], views(1))
    codes = {m: (np.float64(code.mean[0]), np.float64(code.scale[0]))
             for m, code in codes.items()}  # fmt: skip

    def product(names, with_prior=False):
        precision = sum(codes[m][1] ** -2 for m in names) + with_prior
        weighted = sum(codes[m][0] * codes[m][1] ** -2 for m in names)
        return weighted / precision, precision**-0.5

    if name in ("mvae", "mvtcae"):
        return [product(subset, name == "mvae")]
    if name == "mopoe":
        sizes = range(1, len(subset) + 1)
        inner = [s for k in sizes for s in itertools.combinations(subset, k)]
        return [product(s, len(s) == len(NAMES)) for s in inner]
    return [codes[m] for m in subset]


def log_mixture(z, parts):
    z = np.asarray(z)
    each = [
        -0.5 * np.sum(((z - m) / s) ** 2 + np.log(2 * np.pi * s**2), axis=-1)
        for m, s in parts
    ]
    return np.logaddexp.reduce(each) - np.log(len(parts))


def check_law(drawn, parts):
    """Mean and variance of the even mixture of normals, within 5 standard errors."""
    means, scales = map(np.array, zip(*parts, strict=True))
    variance = (scales**2).mean(0) + means.var(0)
    error = 5 * np.sqrt(variance / len(drawn))
    assert (np.abs(np.asarray(drawn).mean(0) - means.mean(0)) < error).all()
    # Kurtoses of these mixtures are below 4, standard errors below 0.025.
    np.testing.assert_allclose(np.var(drawn, axis=0), variance, rtol=0.125)


@pytest.mark.parametrize("name", METHODS)
def test_every_subset_is_what_the_method_makes_of_its_experts(name):
    method, params = make(name)
    inference, x = method.inference, views(NUM)
    assert isinstance(inference, SubsetDensity)
    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-4)
    for subset in (("a", "c"), NAMES):
        z, info = inference.infer(params, jax.random.key(1), x, subset)
        parts = components(name, method, params, subset)
        check_law(z, parts)
        assert info is None
        log_q = inference.subset_log_prob(params, x, subset, z)
        close(log_q, log_mixture(z, parts))
    propose = jax.jit(inference.propose, static_argnums=(3, 4))
    z, log_ratio = propose(params, jax.random.key(2), views(1), NAMES, NUM)
    check_law(z[:, 0], parts)
    standard = [(0.0, np.ones(2))]
    close(log_ratio, log_mixture(z, standard) - log_mixture(z, parts))
    z = z[:, 0]
    close(inference.joint_log_prob(params, x, z), log_mixture(z, parts))
    one = inference.unimodal_log_probs(params, x, z)["b"]
    close(one, log_mixture(z, components(name, method, params, ("b",))))
    nothing = inference.subset_log_prob(params, {}, (), z)
    close(nothing, log_mixture(z, standard))


def test_the_density_of_nothing_is_unknown_where_the_prior_has_no_log_z():
    method, params = make("mvtcae", EnergyFamily(hidden_sizes=(4,), num_steps=2))
    z = jnp.zeros((3, 2))
    assert method.inference.subset_log_prob(params, {}, (), z) is None
    with pytest.raises(ValueError, match="`subset` is empty"):
        method.inference.infer(params, jax.random.key(0), views(3), ())


LEARN = [
    *((name, NormalFamily()) for name in NORMAL_ONLY),
    ("mopoe", EnergyFamily(hidden_sizes=(8,), num_steps=2)),
    ("mvtcae", MixtureFamily(num_components=3)),
    ("mmvae", VampFamily(kind="normal", num_components=3)),
]


@pytest.mark.parametrize(
    ("name", "prior"), LEARN, ids=lambda value: getattr(value, "name", value)
)
def test_every_part_learns(name, prior):
    method, params = make(name, prior)
    (stage,) = method.stages

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradient(params, batch):
        loss, metrics, *_ = stage.loss(params, None, jax.random.key(0), batch, *memory)
        return loss, metrics

    memory = stage.init_memory(jax.random.key(0))
    present = {m: jnp.arange(4) != i for i, m in enumerate(NAMES)}
    found, metrics = gradient(params["joint"], Batch(views(4), None, present))
    assert all(np.isfinite(value) for value in metrics.values()) and "kl" in metrics
    # Views that a row lacks may hold anything.
    broken = {m: x.at[i].set(jnp.nan) for i, (m, x) in enumerate(views(4).items())}
    again, _ = gradient(params["joint"], Batch(broken, None, present))
    jax.tree.map(np.testing.assert_array_equal, found, again)
    for part, tree in found.items():
        leaves = jax.tree.leaves(tree)
        assert max(float(np.abs(leaf).max()) for leaf in leaves) > 0, part
    assert ("prior" in found) == prior.is_learnt


@pytest.mark.parametrize("name", ["mopoe", "mmvae"])
def test_what_is_cached_of_all_views_has_the_law_of_their_posterior(name):
    method, params = make(name)
    joint = method.inference.joint
    cached = jax.jit(joint.cached_posterior)(params, views(NUM))
    assert cached["mean"].shape == (NUM, 3, 2)
    z = np.asarray(jax.jit(joint.draw_cached)(jax.random.key(3), cached))
    check_law(z, components(name, method, params, NAMES))


@pytest.mark.parametrize(
    ("name", "prior", "options", "message"),
    [
        *(
            (name, MixtureFamily(), {}, f"expected 'normal' with method '{name}'")
            for name in NORMAL_ONLY
        ),
        ("mopoe", VampFamily(kind="laplace"), {}, "`model.prior.kind` is 'laplace'"),
        ("mvtcae", NormalFamily(), dict(mvtcae=MvtcaeSettings(1.5)),
         "`mvtcae.alpha` is 1.5, expected 0 to 1"),
        ("mmvae", LaplaceFamily(), dict(mmvae=MmvaeSettings(bound="tight")),
         "`mmvae.bound` is 'tight', expected one of 'looser', 'tighter'"),
        ("mvae", NormalFamily(), dict(quotient=Quotient("prior", 0.1)),
         "'mvae' infers by a product of its own and divides by nothing"),
        ("mopoe", NormalFamily(), dict(denoiser=DenoiserSettings()),
         "`denoiser` is not for 'mopoe'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(name, prior, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, prior, **options)


def test_all_subsets_are_listed_once():
    found = non_empty_subsets(4)
    assert len(found) == len(set(found)) == 15 and found[-1] == (0, 1, 2, 3)
