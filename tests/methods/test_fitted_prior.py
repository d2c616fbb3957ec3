"""A prior fitted afterwards finds the aggregate posterior, and leaves all else be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax.methods.fitted_prior import bind_whitened
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.diffusion import DiffusionFamily
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.flow import FlowFamily
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.registry import FITTED_FAMILIES, PRIORS
from jnf_jax.priors.whitening import Whitening, fit_whitening
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2,)}


def make(family, name="jnf"):
    return build_method(
        name,
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            {"default": LikelihoodSettings("normal", 0.5)},
        ),
        flow=FlowSettings(num_blocks=0 if name == "jmvae" else 1, hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=5, num_adaptation=5),
        fitted_prior=family,
    )


def test_one_gaussian_finds_the_moments_of_the_draws_not_of_the_means():
    method = make(MixtureFamily(num_components=1, learns_scales=True))
    stage = method.stages[-1]
    assert (stage.name, stage.needs) == ("prior", ("joint",))
    rng = np.random.default_rng(0)
    cached = {
        "mean": jnp.asarray(rng.normal([1.0, -2.0], [0.5, 1.0], (500, 2)), jnp.float32),
        "scale": jnp.asarray(rng.uniform(0.2, 1.0, (500, 2)), jnp.float32),
    }
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 600))

    @jax.jit
    def step(params, state, rng_key):
        loss = lambda p: stage.loss(p, None, rng_key, Batch({}, cached))[0]  # noqa: E731
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    # Not the whitening of these draws: with it there is nothing left to learn.
    params = start = jax.jit(stage.init)(jax.random.key(0))
    state = jax.jit(optimizer.init)(params)
    for number in range(600):
        params, state = step(params, state, jax.random.key(number))
    mean, scale = np.asarray(cached["mean"]), np.asarray(cached["scale"])
    variance = mean.var(0) + (scale**2).mean(0)
    density = jax.device_get(params["density"])
    np.testing.assert_allclose(density["means"][0], mean.mean(0), atol=0.02)
    np.testing.assert_allclose(
        np.exp(density["log_scales"][0]), np.sqrt(variance), rtol=0.02
    )
    z = method.inference.sample_prior(
        {"prior": params}, jax.random.key(1), 20_000, "mixture_after"
    )
    z = np.asarray(z)
    # 5 standard errors of a mean and of a sd.
    assert (np.abs(z.mean(0) - density["means"][0]) < 5 * (variance / 2e4) ** 0.5).all()
    np.testing.assert_allclose(z.std(0), np.sqrt(variance), rtol=0.03)
    jax.tree.map(
        np.testing.assert_array_equal,
        params["whitening"],
        start["whitening"],
    )


def narrow(seed):
    """q(z|X) whose draws have sd 2 and 0.1, and a correlation of 0.98."""
    root = np.array([[2.0, 0.0], [0.098, 0.02]])
    mean = [3.0, -1.0] + np.random.default_rng(seed).standard_normal(
        (4_000, 2)
    ) @ root.T
    return {
        "mean": jnp.asarray(mean, jnp.float32),
        "scale": jnp.asarray(np.full((4_000, 2), 1e-3), jnp.float32),
    }


@pytest.mark.parametrize("name", sorted({*FITTED_FAMILIES} - {"diffusion"}))
def test_each_family_starts_from_the_moments_of_the_draws(name):
    family = FITTED_FAMILIES[name]()
    method, cached = make(family), narrow(7)
    stage = method.stages[-1]
    prepared, key = stage.prepare(cached), jax.random.key(1)
    params = jax.jit(stage.init)(key) | prepared
    params = stage.fit(key, cached) if stage.fit else params
    z = method.inference.sample_prior(
        {"prior": params}, jax.random.key(2), 4_000, f"{name}_after"
    )
    u = np.asarray(jax.jit(fit_whitening(np.asarray(cached["mean"])).whiten)(z))
    # A mixture's means are its own, within [−1, 1]: they add at most 1/3 (and 5 √(2/40)
    # of that, for 40 of them) to a variance.
    assert (np.abs(u.mean(0)) < 0.5).all()
    variances = np.linalg.eigvalsh(np.cov(u.T))
    assert 0.7 < variances[0] and variances[1] < 1.7


@pytest.mark.parametrize("name", ["energy", "flow", "mixture"])
def test_the_loss_is_of_z_not_of_its_whitened_coordinates(name):
    """A log density of u = C^(−1/2) (z − m) misses log|det C|/2, −3.2 nats here."""
    family, cached = FITTED_FAMILIES[name](), narrow(7)
    method = make(family)
    stage = method.stages[-1]
    params = jax.jit(stage.init)(jax.random.key(1)) | stage.prepare(cached)

    def log_density(params, z):
        prior = method.inference.prior_of({"prior": params}, f"{name}_after")
        return prior.log_density(z)

    found = np.asarray(jax.jit(log_density)(params, cached["mean"]))
    z = np.asarray(cached["mean"])
    whitening = jax.device_get(Whitening(**params["whitening"]))
    root = (whitening.axes * whitening.scales) @ whitening.axes.T
    u = np.linalg.solve(root, (z - whitening.mean).T).T
    own = jax.jit(lambda params, u: family.bind(params, 2).log_density(u))
    shift = 0.5 * np.linalg.slogdet(np.cov(z.T))[1]
    np.testing.assert_allclose(found, own(params["density"], u) - shift, atol=5e-3)
    if name != "energy":
        ask = jax.jit(lambda p, key: stage.loss(p, None, key, Batch({}, cached)))
        loss, metrics = ask(params, jax.random.key(3))
        assert float(loss) == pytest.approx(-found.mean(), abs=0.05)
        assert float(metrics["log_density"]) == -float(loss)


def test_a_whitened_diffusion_has_its_score_in_z(monkeypatch):
    """The exact score of N(0, I), which noise leaves as it is: N(m, C)'s in z."""
    schedule = DiffusionFamily().schedule
    exact = lambda self, params, u, t: -schedule.noise(t)[:, None] * u  # noqa: E731
    monkeypatch.setattr(DiffusionFamily, "scaled_score", exact)
    cached, method = narrow(7), make(DiffusionFamily())
    prior = method.inference.prior_of(
        {"prior": {"density": {}} | method.stages[-1].prepare(cached)},
        "diffusion_after",
    )
    z = np.asarray(cached["mean"], np.float64)
    centre, inverse = z.mean(0), np.linalg.inv(np.cov(z.T))
    expected = -(z[:9] - centre) @ inverse
    score = jax.vmap(jax.grad(prior.chain_log_density))
    got = jax.jit(score)(np.float32(z[:9]))
    # Of the narrow axis float32 and q's own scale of 1e-3 leave a few parts in 1,000.
    np.testing.assert_allclose(
        got, expected, rtol=1e-2, atol=0.02 * np.abs(expected).max()
    )


@pytest.mark.parametrize("method_name", ["jnf", "jmvae"])
@pytest.mark.parametrize("name", sorted(FITTED_FAMILIES))
def test_each_family_is_a_stage_of_its_own(name, method_name):
    family = FITTED_FAMILIES[name]()
    method, plain = make(family, method_name), make(None, method_name)
    assert [s.name for s in method.stages] == [*(s.name for s in plain.stages), "prior"]
    assert plain.inference.prior_names == ("normal",)
    assert method.inference.prior_names == ("normal", f"{name}_after")
    stage = method.stages[-1]
    params = jax.jit(stage.init)(jax.random.key(0))
    cached = {"mean": jnp.ones((6, 2)), "scale": jnp.full((6, 2), 0.5)}
    loss = lambda p: stage.loss(p, None, jax.random.key(1), Batch({}, cached))[0]  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(params)
    assert any(np.abs(g).max() > 0 for g in jax.tree.leaves(gradient))
    draws = {
        prior: method.inference.sample_prior(
            {"joint": {}, "prior": params}, jax.random.key(2), 5, prior
        )
        for prior in method.inference.prior_names
    }
    own = plain.inference.sample_prior({"joint": {}}, jax.random.key(2), 5)
    np.testing.assert_array_equal(draws["normal"], own)
    assert draws[f"{name}_after"].shape == (5, 2)
    with pytest.raises(ValueError, match="`name` is 'gmm', expected one of"):
        method.inference.sample_prior({}, jax.random.key(2), 5, "gmm")


@pytest.mark.parametrize("name", ["vamp", "learnable_scale"])
def test_what_cannot_be_fitted_is_refused(name):
    said = f"`fitted_prior.name` is '{name}', expected one"
    with pytest.raises(ValueError, match=said):
        make(PRIORS[name]())


TWO_MODES = {"share": 0.7, "means": np.array([[1.5, 0.5], [-1.5, -0.5]]), "sd": 0.5}
FITS = {  # family, learning rate
    "diffusion": (DiffusionFamily(hidden_size=64, num_layers=2), 3e-3),
    "energy": (EnergyFamily(hidden_sizes=(64, 64), step_size=0.04), 2e-3),
    "flow": (FlowFamily(num_blocks=4, hidden_sizes=(64, 64)), 3e-3),
    # Its components are axis-aligned in u, where these modes are not.
    "mixture": (MixtureFamily(num_components=12, learns_scales=True), 1e-2),
}


@pytest.mark.slow
@pytest.mark.usefixtures("fully_optimised")
@pytest.mark.parametrize("name", sorted(FITS))
def test_draws_have_the_law_of_a_known_aggregate(name):
    """Σ_i q(z|X_i)/N of two modes: their weights, places and widths are drawn again.

    Half of a mode's variance is of the means of q and half of its scales.
    """
    family, rate = FITS[name]
    share, means, sd = TWO_MODES.values()
    stage = make(family).stages[-1]
    rng = np.random.default_rng(0)
    member = (rng.random(20_000) > share).astype(int)
    noise = rng.normal(0, sd / 2**0.5, (20_000, 2))
    mean = jnp.asarray(means[member] + noise, jnp.float32)
    scale = jnp.full((20_000, 2), sd / 2**0.5)
    num_steps = 3_000
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    def step(carry, rng_key):
        params, state = carry
        row_key, loss_key = jax.random.split(rng_key)
        rows = jax.random.choice(row_key, 20_000, (256,))
        batch = Batch({}, {"mean": mean[rows], "scale": scale[rows]})
        gradient = jax.grad(lambda p: stage.loss(p, None, loss_key, batch)[0])(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    whitening = stage.prepare({"mean": mean, "scale": scale})
    params = stage.init(jax.random.key(0)) | whitening
    keys = jax.random.split(jax.random.key(1), num_steps)
    train = jax.jit(lambda carry: jax.lax.scan(step, carry, keys)[0][0])
    params = train((params, optimizer.init(params)))
    prior = bind_whitened(family, params, 2)
    z = np.asarray(prior.sample(jax.random.key(2), 20_000))
    near = z @ np.array([3.0, 1.0]) > 0  # on the first mode's side: 3.2 sd from each
    assert near.mean() == pytest.approx(share, abs=0.05)
    for side, centre in zip((near, ~near), means, strict=True):
        np.testing.assert_allclose(z[side].mean(0), centre, atol=0.1)
        np.testing.assert_allclose(z[side].std(0), sd, rtol=0.15)
