"""Inference from subsets: closed form, a 2-D grid, and one program a subset size."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like
from scipy import special

from jnf_jax.methods.decoder_posterior import DecoderPosterior, Reweighting
from jnf_jax.methods.method import Batch, ImportanceInference, propose_from
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.diffusion import DiffusionFamily
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.gmm import GaussianMixtureFamily
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.normal import NormalFamily, NormalPrior
from jnf_jax.priors.whitening import identity
from jnf_jax.sampling import ChainSettings, gaussian_product

SHAPES = {"a": (3, 3, 1), "b": (4, 4, 1), "c": (2, 2, 3)}
NETWORK = NetworkSettings("mlp", hidden_sizes=(8,))


def make(name="jnf", num_blocks=1, latent_dim=2, shapes=SHAPES, **options):
    prior = options.pop("prior", NormalFamily())
    chains = ChainSettings(num_transitions=200, num_adaptation=100)
    method = build_method(
        name,
        shapes,
        model=ModelSettings(
            latent_dim,
            {"default": NETWORK},
            {"default": LikelihoodSettings("normal", 0.5)},
            joint_hidden_sizes=(8,),
            prior=prior,
        ),
        flow=FlowSettings(num_blocks=num_blocks, hidden_sizes=(8,), max_log_scale=0.5),
        **{"sampler": chains, **options},
    )
    params = {
        stage.name: random_like(jax.eval_shape(stage.init, jax.random.key(0)), seed)
        for seed, stage in enumerate(method.stages)
    }
    return method, params


def make_views(num, seed=0, shapes=SHAPES):
    """The same datum ``num`` times, so that draws of z are draws for it."""
    rng = np.random.default_rng(seed)
    return {
        m: jnp.asarray(np.repeat(rng.random((1, *s)), num, axis=0), jnp.float32)
        for m, s in shapes.items()
    }


def codes_of(inference, params, views, subset):
    """What the experts say, as NumPy arrays."""
    return jax.device_get(inference._experts_of(params, views, subset)[1])


def grid_moments(density, ticks):
    """Mean and sd of a density over a square grid, {[N, 2] -> [N]}."""
    grid = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = np.float64(density(np.float32(grid)))[:, None]
    weights /= weights.sum()
    mean = (weights * grid).sum(0)
    return mean, np.sqrt((weights * (grid - mean) ** 2).sum(0))


@pytest.mark.parametrize("name", ["jnf", "jmvae"])
def test_gaussian_experts_are_multiplied_in_closed_form(name):
    method, params = make(name, num_blocks=0)
    inference, views = method.inference, make_views(20_000)
    z, info = jax.device_get(
        inference.infer(params, jax.random.key(0), views, ("a", "c"))
    )
    codes = codes_of(inference, params, views, ("a", "c"))
    expected = jax.device_get(
        jax.jit(gaussian_product)(
            np.stack([code.mean[0] for code in codes]),
            np.stack([code.scale[0] for code in codes]),
        )
    )
    error = expected.scale / np.sqrt(len(z))  # of the mean
    assert (np.abs(z.mean(0) - expected.mean) < 5 * error).all()
    np.testing.assert_allclose(z.std(0), expected.scale, rtol=0.03)  # 5 / √(2 · 20,000)
    assert (info.improper == ~expected.is_proper).all() and (info.acceptance == 1).all()


def test_gaussian_experts_over_a_defended_prior_need_chains():
    views, subset = make_views(2), ("a", "b")
    for quotient, is_closed in ((Quotient(), True), (Quotient("prior", 0.1), False)):
        method, params = make(num_blocks=0, quotient=quotient)
        key = jax.random.key(0)
        step_size = method.inference.adapt(params, key, views, subset)
        assert (step_size is None) == is_closed


def test_chains_have_the_moments_of_a_grid_integration():
    """D = 2, three modalities, |S| = 2: prior^1 divides two flow experts."""
    method, params = make(num_blocks=1)
    for expert in params["unimodal"].values():  # narrow: the quotient must be proper
        expert["encoder"]["log_variance"]["bias"] -= 2.0
    inference, views = method.inference, make_views(1_000)
    subset = ("a", "b")
    z, info = jax.device_get(inference.infer(params, jax.random.key(1), views, subset))

    flows, codes = inference._experts_of(params, views, subset)
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[0], codes)
    log_density = inference._log_density(params, flows)
    log_p = jax.jit(jax.vmap(lambda point: log_density(point, one)))
    mean, sd = grid_moments(
        lambda grid: special.softmax(log_p(grid)), np.linspace(-8, 8, 321)
    )

    # 1,000 chains of 200 transitions, one draw each: independent.
    assert (np.abs(z.mean(0) - mean) < 5 * sd / np.sqrt(len(z))).all()
    np.testing.assert_allclose(z.std(0), sd, rtol=0.12)  # 5 / √(2 · 1,000)
    assert abs(info.acceptance.mean() - 0.8) < 0.05

    # The same from weighted draws of the experts, without chains.
    posterior = DecoderPosterior(inference, inference.chains, is_weighted=True)
    how = Reweighting("resample", 256, "experts")
    z, _ = posterior.reweight(params, jax.random.key(1), views, subset, how)
    assert (np.abs(np.mean(z, 0) - mean) < 5 * sd / np.sqrt(len(z))).all()
    np.testing.assert_allclose(np.std(z, 0), sd, rtol=0.12)


def test_chains_start_at_the_product_that_matches_the_moments():
    """Steps of no length stay at the start, which has the experts' moments."""
    method, params = make(sampler=ChainSettings("ula", 1, num_adaptation=0))
    for expert in params["unimodal"].values():  # narrow: the quotient must be proper
        expert["encoder"]["log_variance"]["bias"] -= 2.0
    inference, views, subset = method.inference, make_views(4_000), ("a", "b")
    keys = jax.random.split(jax.random.key(2), 3)
    z, _ = inference.infer(params, keys[0], views, subset, jnp.float32(1e-6))
    each = [
        np.asarray(inference.infer(params, key, make_views(40_000), (m,))[0])
        for key, m in zip(keys[1:], subset, strict=True)
    ]
    precisions = [np.linalg.inv(np.cov(own.T)) for own in each]
    covariance = np.linalg.inv(sum(precisions) - np.eye(2))
    pulls = [p @ own.mean(0) for p, own in zip(precisions, each, strict=True)]
    mean = covariance @ sum(pulls)
    sd = np.sqrt(np.diag(covariance))
    # 5 standard errors, and 64 points in place of all draws.
    assert (np.abs(np.mean(z, 0) - mean) < 5 * sd / np.sqrt(4_000) + 0.05 * sd).all()
    np.testing.assert_allclose(
        np.cov(np.transpose(z)), covariance, atol=0.2 * sd.min() ** 2
    )


def test_an_affine_flow_is_matched_exactly():
    """Mean and precision of the normal that it is, at four points as at many."""
    method, params = make(num_blocks=1, latent_dim=3)
    expert, views = method.inference.experts[0], make_views(1)
    flow = jax.tree.map(jnp.zeros_like, params["unimodal"]["a"]["flow"])
    flow["0"]["direct"]["kernel"] = (
        flow["0"]["direct"]["kernel"]
        .at[:, :3]
        .set(jnp.asarray(np.random.default_rng(0).standard_normal((3, 3)), jnp.float32))
    )
    flow["0"]["output"]["bias"] = jnp.array([0.3, -0.1, 0.2, 0.4, -0.2, 0.1])
    code = expert.encode(params["unimodal"]["a"], views["a"])
    mean, precision = jax.device_get(
        jax.jit(expert.matched_normal, static_argnums=2)(flow, code, 4)
    )
    z = expert.distribution(flow, code).sample(seed=jax.random.key(0), sample_shape=1)
    assert z.shape == (1, 1, 3)
    grad = jax.hessian(lambda z: expert.distribution(flow, code).log_prob(z)[0])(z[0])
    np.testing.assert_allclose(precision[0], -grad[0, :, 0], rtol=1e-4, atol=1e-4)
    at_mean = jax.grad(lambda z: expert.distribution(flow, code).log_prob(z)[0])(mean)
    np.testing.assert_allclose(at_mean, 0, atol=1e-4)
    # A flow of no blocks has the precision of its base, and so has what is diagonal.
    bare, _ = make(num_blocks=0, latent_dim=3)
    expert = bare.inference.experts[0]
    mean, precision = expert.matched_normal({}, code, 4)
    np.testing.assert_array_equal(mean, code.mean)
    np.testing.assert_allclose(precision[0], np.diag(code.scale[0] ** -2.0), rtol=1e-6)


def test_gaussian_experts_over_a_fitted_normal_are_closed_too():
    """Drawn exactly where the quotient is a density; told of where it is none."""
    method, params = make(
        num_blocks=0,
        quotient=Quotient("fitted"),
        fitted_prior=GaussianMixtureFamily(num_components=1),
    )
    inference, views, subset = method.inference, make_views(20_000), ("a", "c")
    for expert in params["unimodal"].values():  # narrow: the quotient must be proper
        expert["encoder"]["log_variance"]["bias"] -= 2.0
    factor = np.array([[1.5, 0.0], [0.8, 0.9]])
    params["prior"] = {
        "density": {
            "logits": jnp.zeros(1),
            "means": jnp.array([[0.5, -1.0]]),
            "factors": jnp.asarray(factor[None], jnp.float32),
        },
        "whitening": identity(2)._asdict(),
    }
    key = jax.random.key(0)
    assert inference.adapt(params, key, views, subset) is None
    z, info = jax.device_get(inference.infer(params, key, views, subset))
    codes = codes_of(inference, params, views, subset)
    own = np.linalg.inv(factor @ factor.T)
    precision = sum(np.diag(code.scale[0] ** -2.0) for code in codes) - own
    pull = sum(code.mean[0] * code.scale[0] ** -2.0 for code in codes)
    mean = np.linalg.solve(precision, pull - own @ [0.5, -1.0])
    covariance = np.linalg.inv(precision)
    assert np.linalg.eigvalsh(precision)[0] > 0
    # 5 standard errors of 20,000 draws.
    assert (np.abs(z.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / 20_000)).all()
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(z.T) - covariance) < 0.05 * scale).all()
    assert not info.improper.any() and (info.acceptance == 1).all()
    for expert in params["unimodal"].values():
        expert["encoder"]["log_variance"]["bias"] += 9.0
    _, info = inference.infer(params, key, make_views(2), subset)
    assert info.improper.all()


FITTED = MixtureFamily(num_components=2, learns_scales=True)


@pytest.mark.parametrize(
    ("divisor", "weight", "subset"),
    [
        ("reference", 0.0, ("a", "b")),
        ("fitted", 0.0, ("a", "b", "c")),
        ("fitted", 0.2, ("a", "b", "c")),
    ],
)
def test_the_divisor_of_choice_has_the_moments_of_a_grid(divisor, weight, subset):
    """d Π_j q_j / d_j for an energy prior's reference and a fitted mixture."""
    shapes = SHAPES | {"d": (3,)}
    method, params = make(
        prior=EnergyFamily(hidden_sizes=(8,), reference_scale=1.3),
        shapes=shapes,
        quotient=Quotient(divisor, weight),
        fitted_prior=FITTED,
    )
    for expert in params["unimodal"].values():  # narrow: the quotient must be proper
        expert["encoder"]["log_variance"]["bias"] -= 2.0
    params["prior"]["density"]["means"] = jnp.array([[0.5, -0.5], [-1.0, 0.5]])
    axes, scales = jnp.array([[0.8, -0.6], [0.6, 0.8]]), jnp.array([1.5, 1.0])
    centre, root = jnp.array([0.2, -0.1]), (axes * scales) @ axes.T
    params["prior"]["whitening"] = {"mean": centre, "axes": axes, "scales": scales}
    of_u = FITTED.bind(params["prior"]["density"], 2)
    log_d = {
        "reference": NormalPrior(2, 1.3).log_density,
        "fitted": lambda z: of_u.log_density((z - centre) @ jnp.linalg.inv(root)),
    }[divisor]
    inference, views = method.inference, make_views(1_000, shapes=shapes)
    z, _ = jax.device_get(inference.infer(params, jax.random.key(1), views, subset))
    one = {m: x[:1] for m, x in views.items()}

    @jax.jit
    def log_probs(grid):
        log_q = jax.vmap(lambda p: inference.unimodal_log_probs(params, one, p[None]))
        found = log_q(grid)
        return log_d(grid), [found[m][:, 0] for m in subset]

    def density(grid):
        d, qs = jax.tree.map(lambda x: np.exp(np.float64(x)), log_probs(grid))
        return d * np.prod([q / ((1 - weight) * d + weight * q) for q in qs], axis=0)

    mean, sd = grid_moments(density, np.linspace(-6, 6, 241))
    # 1,000 chains of 200 transitions, one draw each: independent.
    assert (np.abs(z.mean(0) - mean) < 5 * sd / np.sqrt(len(z))).all()
    np.testing.assert_allclose(z.std(0), sd, rtol=0.12)  # 5 / √(2 · 1,000)


@pytest.mark.parametrize("subset", [("a", "b"), ("a", "b", "c")])
def test_a_score_divides_what_unadjusted_langevin_samples(monkeypatch, subset):
    """Gaussian experts over the exact score of N(m, s²), which is that of a normal.

    Told in u = z/2, of which the diffusion is.
    """
    m, s = jnp.array([0.5, -0.5]), jnp.array([1.2, 0.8])
    schedule = DiffusionFamily().schedule

    def exact(self, params, z, t):
        a, noise = schedule.signal(t)[:, None], schedule.noise(t)[:, None]
        return -noise * (z - a * m / 2) / (a**2 * s**2 / 4 + noise**2)

    monkeypatch.setattr(DiffusionFamily, "scaled_score", exact)
    method, params = make(
        num_blocks=0,
        shapes=SHAPES | {"d": (3,)},
        quotient=Quotient("fitted"),
        fitted_prior=DiffusionFamily(score_time=0.01),
        sampler=ChainSettings("ula", num_adaptation=0, initial_step_size=0.3),
    )
    for expert in params["unimodal"].values():  # narrow: the quotient must be proper
        expert["encoder"]["log_variance"]["bias"] -= 2.0
    halves = identity(2)._replace(scales=jnp.full(2, 2.0))
    params["prior"]["whitening"] = halves._asdict()
    inference, views = method.inference, make_views(20_000, shapes=SHAPES | {"d": (3,)})
    z, _ = jax.device_get(inference.infer(params, jax.random.key(0), views, subset))

    codes = codes_of(inference, params, views, subset)
    m, s = np.asarray(m), np.asarray(s)
    a, noise = (float(f(jnp.array(0.01))) for f in (schedule.signal, schedule.noise))
    power, blurred = len(subset) - 1, a**2 * s**2 + 4 * noise**2
    precision = sum(code.scale[0] ** -2 for code in codes) - power / blurred
    pull = sum(code.mean[0] * code.scale[0] ** -2 for code in codes)
    mean = (pull - power * a * m / blurred) / precision
    sd = precision**-0.5
    assert (precision > 0).all() and (sd < s).all()
    assert (np.abs(z.mean(0) - mean) < 5 * sd / np.sqrt(len(z))).all()
    # 5 / √(2 · 20,000), and the variance 1/(1 − δ²/4) of steps δ = 0.3.
    np.testing.assert_allclose(z.std(0), sd, rtol=0.037)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(quotient=Quotient("p")), "`sampler.divisor` is 'p', expected one of"),
        (
            dict(quotient=Quotient("reference")),
            "`model.prior.name` 'energy', got 'normal'",
        ),
        (dict(quotient=Quotient("fitted")), "expected a stage 'prior'"),
        (
            dict(quotient=Quotient("fitted"), fitted_prior=DiffusionFamily()),
            "diffusion, .* `sampler.kernel` 'ula', got 'dynamic_hmc'",
        ),
        (
            dict(
                quotient=Quotient("fitted", 0.01),
                fitted_prior=DiffusionFamily(),
                sampler=ChainSettings("ula", num_adaptation=0),
            ),
            "`sampler.defensive_weight` is 0.01, expected 0 with the divisor 'diffus",
        ),
        (
            dict(quotient=Quotient("prior", -0.1)),
            r"`sampler.defensive_weight` is -0.1, expected >= 0 and < 1",
        ),
        (
            dict(name="mmvae_plus", quotient=Quotient("prior", 0.1)),
            "`sampler.defensive_weight` is 0.1, expected 0.0: 'mmvae_plus' infers",
        ),
    ],
)
def test_divisors_that_are_not_there(options, told):
    with pytest.raises(ValueError, match=told):
        make(**options)


def test_subsets_of_one_size_share_a_program():
    method, params = make(num_blocks=1)
    inference, views = method.inference, make_views(8)
    before = type(inference)._draw_product._cache_size()
    for subset in [("a", "b"), ("a", "c"), ("b", "c")]:
        inference.infer(params, jax.random.key(0), views, subset, jnp.float32(0.1))
    assert type(inference)._draw_product._cache_size() == before + 1


def test_all_modalities_ask_the_joint_encoder():
    method, params = make()
    views = make_views(20_000)
    z, info = jax.device_get(
        method.inference.infer(params, jax.random.key(0), views, ("a", "b", "c"))
    )
    code = jax.jit(method.inference.joint.code)(params["joint"], make_views(1))
    np.testing.assert_allclose(z.mean(0), code.mean[0], atol=0.1)
    np.testing.assert_allclose(z.std(0), code.scale[0], rtol=0.03)
    assert info is None


def test_order_of_the_subset_and_other_modalities_do_not_matter():
    method, params = make(num_blocks=1)
    inference, views = method.inference, make_views(8)
    step, key = jnp.float32(0.1), jax.random.key(0)
    one, _ = inference.infer(params, key, views, ("a", "c"), step)
    only = {"c": views["c"], "a": views["a"]}
    two, _ = inference.infer(params, key, only, ("c", "a"), step)
    np.testing.assert_array_equal(one, two)


def test_stage_two_reads_the_cache_alone():
    """No decoder, no joint encoder: zero parameters of stage one change nothing."""
    method, params = make()
    stage = method.stages[1]
    views = make_views(5)
    cached = jax.jit(stage.cache)(params, views)
    assert {k: v.shape for k, v in cached.items()} == {"mean": (5, 2), "scale": (5, 2)}
    loss, metrics = jax.device_get(
        jax.jit(stage.loss)(
            params["unimodal"], None, jax.random.key(0), Batch(views, cached)
        )
    )
    np.testing.assert_allclose(loss, sum(metrics.values()), rtol=1e-6)
    assert set(metrics) == {"nll/a", "nll/b", "nll/c"}


@pytest.mark.parametrize("subset", [(), ("a", "x"), ("a", "a")])
def test_wrong_subsets_are_refused(subset):
    method, params = make()
    with pytest.raises(ValueError, match=r"`subset` is.*\['a', 'b', 'c'\]"):
        method.inference.infer(params, jax.random.key(0), make_views(2), subset)


def test_jmvae_refuses_flows():
    with pytest.raises(ValueError, match="must be Gaussian, got flow blocks"):
        make("jmvae", num_blocks=1)


@pytest.mark.parametrize("subset", [("b",), ("a", "c"), ("a", "b", "c")])
def test_proposals_have_the_law_and_the_density_of_experts_or_the_encoder(subset):
    """Of one expert, the mixture of two, and the encoder of all."""
    method, params = make()
    inference, views = method.inference, make_views(3)
    assert isinstance(inference, ImportanceInference)
    z, log_ratio = jax.jit(inference.propose, static_argnums=(3, 4))(
        params, jax.random.key(0), views, subset, 2_001
    )
    assert z.shape == (2_001, 3, 2) and log_ratio.shape == (2_001, 3)

    @jax.jit
    def log_probs(params, z):
        each = jax.vmap(lambda z: inference.unimodal_log_probs(params, views, z))(z)
        return (
            inference.prior_of(params, "normal").log_density(z),
            inference.joint.encode(params["joint"], views).log_prob(z),
            [each[m] for m in subset],
        )

    log_p, log_q, each = jax.device_get(log_probs(params, z))
    if len(subset) < 3:
        log_q = np.logaddexp.reduce(each) - np.log(len(subset))
    np.testing.assert_allclose(log_ratio, log_p - log_q, atol=2e-4)
    of = [(m,) for m in subset] if len(subset) < 3 else [subset]
    drawn = np.concatenate(
        [
            inference.infer(params, key, make_views(6_000 // len(of)), given)[0]
            for key, given in zip(
                jax.random.split(jax.random.key(1), len(of)), of, strict=True
            )
        ]
    )
    # Both are 6,000 draws for one datum: 5 standard errors of the difference.
    z = np.asarray(z).reshape(-1, 2)
    error = drawn.std(0) * np.sqrt(2 / 6_000)
    assert (np.abs(z.mean(0) - drawn.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(z.std(0), drawn.std(0), rtol=0.08)


def test_every_draw_of_a_mixture_is_as_likely_of_each():
    """Also where their number is not a multiple of that of the experts."""
    experts = [distrax.MultivariateNormalDiag(jnp.full((1, 1), x)) for x in (-9.0, 9.0)]

    def are_of_second(key):
        z, _ = propose_from(experts, NormalPrior(1), key, 3)
        return z[:, 0, 0] > 0

    keys = jax.random.split(jax.random.key(0), 2_000)
    found = np.asarray(jax.jit(jax.vmap(are_of_second))(keys))
    assert set(found.sum(1).tolist()) == {1, 2}
    # 5 standard errors of a fair coin tossed 2,000 times.
    np.testing.assert_allclose(found.mean(0), 0.5, atol=5 * 0.5 / 2_000**0.5)
