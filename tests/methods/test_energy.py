"""An energy-based prior inside a method: who learns from what, and subsets with it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like
from scipy import special

from jnf_jax.losses import (
    energy_contrast,
    generation_loss,
    inference_loss,
    joint_elbo,
    tilted_kl,
)
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors import energy
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import (
    ChainSettings,
    LangevinRun,
    LangevinSettings,
    adapt_step_size,
    product_log_density,
    run_chains,
    run_langevin,
)

SHAPES = {"a": (2, 2, 1), "b": (3,)}
FAMILY = EnergyFamily(hidden_sizes=(8, 8), num_steps=5)


@functools.cache
def make(family=FAMILY):
    """The joint VAE of JNF with an energy prior, and parameters away from init."""
    method = build_method(
        "jnf",
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            {"default": LikelihoodSettings("normal", 0.5)},
            joint_hidden_sizes=(8,),
            prior=family,
        ),
        flow=FlowSettings(num_blocks=1, hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=20, num_adaptation=20),
    )
    joint = method.inference.joint
    shapes = jax.eval_shape(joint.init, jax.random.key(0))
    return method, joint, random_like(shapes, 0, scale=1.5)


def normal(seed, *shape):
    draws = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draws, jnp.float32)


def views(num):
    rng = np.random.default_rng(0)
    return {
        m: jnp.asarray(rng.random((num, *s)), jnp.float32) for m, s in SHAPES.items()
    }


@pytest.mark.parametrize("start", ["reference", "posterior"])
def test_each_part_learns_from_its_own_gradient(start):
    family = EnergyFamily(hidden_sizes=(8, 8), num_steps=5, start=start)
    _, joint, params = make(family)
    batch, key = Batch(views(16)), jax.random.key(1)
    got = jax.jit(jax.grad(lambda p: joint.loss(p, None, key, batch)[0]))(params)
    chain_key = jax.random.fold_in(key, 1)

    def elbo(params):
        terms = joint_elbo(
            params, key, batch.views, model=joint.model, log_ratio=tilted_kl,
        )  # fmt: skip
        return -terms.objective.mean()

    def of(part, function):
        """A function of all parameters as one of one part's."""
        return lambda own, *args: function({**params, part: own}, *args)

    @jax.jit
    def each_alone(params):
        z = joint.encode(params, batch.views).sample(seed=key)
        return {
            "decoders": jax.grad(generation_loss)(
                params["decoders"], z, batch.views, decode=of("decoders", joint.decode)
            ),
            "encoder": jax.grad(inference_loss)(
                params["encoder"], key, batch.views,
                encode=of("encoder", joint.encode),
                decode=functools.partial(joint.decode, params),
                prior=joint.prior_of(params), log_ratio=tilted_kl,
            ),
            "prior": jax.grad(elbo)(params)["prior"],
            "contrast": jax.grad(lambda p: family.loss(p, chain_key, z)[0])(
                params["prior"]
            ),
        }  # fmt: skip

    got, expected = jax.device_get((got, each_alone(params)))
    for part in ("encoder", "decoders"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            got[part],
            expected[part],
        )
    # The ELBO would push f up without end; the contrast alone may teach it.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        got["prior"],
        expected["contrast"],
    )
    assert max(np.abs(g).max() for g in jax.tree.leaves(got["prior"])) > 1e-4
    differs = [
        np.abs(a - b).max()
        for a, b in zip(
            jax.tree.leaves(got["prior"]),
            jax.tree.leaves(expected["prior"]),
            strict=True,
        )
    ]
    assert max(differs) > 1e-3


def test_without_steps_negatives_are_where_the_chains_start():
    """At the positives themselves, whose gap is 0, or at the draws of p_0."""
    params, key = make()[2]["prior"], jax.random.key(3)
    positives = 1.0 + normal(1, 16, 2)

    def gap(start):
        family = dataclasses.replace(FAMILY, num_steps=0, start=start)
        return jax.jit(lambda p: family.loss(p, key, positives)[1]["energy_gap"])(
            params
        )

    @jax.jit
    def expected_gap(params):
        draws = FAMILY.bind_reference(2).sample(jax.random.split(key)[0], 16)
        tilt = lambda z: FAMILY.tilt(params, z).mean()  # noqa: E731
        return tilt(positives) - tilt(draws)

    assert float(gap("posterior")) == 0
    expected = expected_gap(params)
    assert abs(float(expected)) > 0.1
    np.testing.assert_allclose(gap("reference"), expected, rtol=1e-4)


def test_no_chain_runs_while_f_is_flat():
    """The draws of p_0 are then those of the prior; κ makes it another."""
    params, key = make()[2]["prior"], jax.random.key(3)
    flat = {**params, "Dense_2": dict(params["Dense_2"], kernel=jnp.zeros((8, 1)))}
    positives = normal(1, 16, 2)

    def displacement(params, **options):
        family = dataclasses.replace(FAMILY, **options)
        metrics = jax.jit(lambda p: family.loss(p, key, positives)[1])(params)
        return float(metrics["langevin/displacement"])

    assert displacement(flat) == 0
    assert displacement(params) > 0.1
    assert displacement(flat, confinement=0.1) > 0.1
    assert displacement(flat, start="posterior") > 0.1


def test_watched_moments_of_positives_have_their_weights():
    """Half of the rows with weight 0 are not there."""
    params, key = make()[2]["prior"], jax.random.key(3)
    rng = np.random.default_rng(1)
    z = rng.standard_normal((16, 2)) * [1.0, 3.0]
    weights = np.where(np.arange(16) % 2, rng.random(16), 0.0)
    weights = weights / weights.sum()
    loss = jax.jit(lambda z, weights: FAMILY.loss(params, key, z, weights=weights))
    watched = loss(np.float32(z), np.float32(weights))[1]
    w, z = weights[1::2], z[1::2]
    variance = np.array([np.cov(z_d, aweights=w, bias=True) for z_d in z.T])
    np.testing.assert_allclose(
        watched["moments/variance_positive"], variance.mean(), rtol=1e-4
    )
    kurtosis = w @ (z - w @ z) ** 4 / variance**2 - 3
    np.testing.assert_allclose(
        watched["moments/kurtosis_positive"], kurtosis.mean(), rtol=1e-4
    )


def test_what_is_watched():
    _, joint, params = make()
    loss, metrics = jax.jit(joint.loss)(
        params, None, jax.random.key(0), Batch(views(16))
    )
    watched = {
        "energy_gap",
        "langevin/displacement",
        "langevin/gradient_norm",
        "langevin/acceptance",
        "langevin/diverged",
        "langevin/first_bad_step",
        "moments/mean_gap",
        "moments/variance_positive",
        "moments/variance_negative",
        "moments/kurtosis_positive",
        "moments/kurtosis_negative",
    }
    assert watched <= set(metrics) and np.isfinite(loss)
    assert float(metrics["langevin/acceptance"]) == 1
    assert float(metrics["langevin/diverged"]) == 0


def test_a_chain_that_diverged_is_no_negative(monkeypatch):
    """The gradient is that of the others alone; there is none where all diverged."""
    family = EnergyFamily(hidden_sizes=(8, 8), num_steps=5)
    _, _, params = make(family)
    positives, negatives = normal(1, 6, 2), normal(2, 6, 2)

    def gradient(first_bad_step):
        found = [jnp.zeros(6)] * 4 + [jnp.array(first_bad_step)]  # constants of the jit
        run = LangevinRun(*found)
        monkeypatch.setattr(energy, "run_langevin", lambda *args: (negatives, run))

        def loss(params):
            value, metrics, *_ = family.loss(params, jax.random.key(0), positives)
            return value, metrics

        return jax.jit(jax.grad(loss, has_aux=True))(params["prior"])

    def expected(rows):
        contrast = lambda params, negatives: energy_contrast(  # noqa: E731
            params, positives, negatives, tilt=family.tilt
        )
        chosen = np.asarray(negatives)[rows]
        return jax.jit(jax.grad(contrast))(params["prior"], chosen)

    some, metrics = gradient([0, 4, 0, 0, 2, 0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
        some,
        expected(np.array([0, 2, 3, 5])),
    )
    assert metrics["langevin/diverged"] == pytest.approx(1 / 3, rel=1e-5)
    assert float(metrics["langevin/first_bad_step"]) == 2
    whole, metrics = gradient([0] * 6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
        whole,
        expected(np.arange(6)),
    )
    assert float(metrics["langevin/first_bad_step"]) == 0
    _, metrics = gradient([3] * 6)
    assert np.isnan(metrics["energy_gap"])
    assert float(metrics["langevin/diverged"]) == 1
    assert float(metrics["langevin/first_bad_step"]) == 3


def test_chains_that_persist_go_on_where_they_ended(monkeypatch):
    monkeypatch.setattr(energy, "NUM_PERSISTENT_CHAINS", 100)
    monkeypatch.setattr(energy, "RESTART_SHARE", 0.0)
    family = EnergyFamily(hidden_sizes=(8, 8), num_steps=5, start="persistent")
    _, joint, params = make(family)
    memory = joint.init_memory(jax.random.key(0))
    assert [chains.shape for chains in memory] == [(100, 2)]
    batch, start = Batch(views(16)), memory[0]
    loss, _, chains = jax.device_get(
        jax.jit(joint.loss)(params, None, jax.random.key(1), batch, start)
    )
    moved = np.any(chains != start, axis=1)
    assert np.isfinite(loss) and int(moved.sum()) == 16
    # Of all that may happen in five steps of √(2ε) = 0.4 none is a jump to a new draw.
    step = np.linalg.norm(chains - start, axis=1)[moved]
    assert float(step.max()) < 5 * 0.4 * 5**0.5 and float(step.min()) > 0
    # They reach their own law, which started elsewhere: N(0, 1/(1 − ε/2)) if f = 0.
    flat = jax.tree.map(jnp.zeros_like, params["prior"])
    wide = 3 * start
    step = jax.jit(family.loss)
    for number in range(200):
        _, _, wide = step(flat, jax.random.key(number), jnp.zeros((50, 2)), wide)
    # 5 standard errors of a variance of 200 numbers.
    assert abs(float(wide.var()) * (1 - 0.08 / 2) - 1) < 5 * (2 / 200) ** 0.5
    with pytest.raises(ValueError, match="`positives` are 200, expected at most 100"):
        family.loss(flat, jax.random.key(0), jnp.zeros((200, 2)), wide)


def test_some_persistent_chains_start_anew(monkeypatch):
    monkeypatch.setattr(energy, "RESTART_SHARE", 1.0)
    family = EnergyFamily(hidden_sizes=(8, 8), num_steps=0, start="persistent")
    params = jax.tree.map(jnp.zeros_like, make()[2]["prior"])
    far = jnp.full((50, 2), 9.0)
    _, _, chains = jax.jit(family.loss)(
        params, jax.random.key(0), jnp.zeros((50, 2)), far
    )
    assert np.abs(chains).max() < 5


def test_each_persistent_chain_is_restarted_by_itself(monkeypatch):
    monkeypatch.setattr(energy, "RESTART_SHARE", 0.5)
    far = jnp.full((100, 2), 9.0)
    _, chains = energy._continued(jax.random.key(0), far, NormalPrior(2), 100)
    anew = (np.abs(chains) < 6).all(axis=1)
    assert 25 < anew.sum() < 75 and (np.asarray(chains)[~anew] == 9).all()


def test_other_starts_have_no_memory():
    assert make()[1].init_memory(jax.random.key(0)) == ()
    assert make()[0].stages[0].init_memory(jax.random.key(0)) == ()


def test_draws_may_take_other_steps_than_training_did():
    other = dataclasses.replace(FAMILY, draw_steps=30, draw_step_size=0.02)
    assert (FAMILY.draw_langevin, other.langevin) == (FAMILY.langevin,) * 2
    params, key = make()[2]["prior"], jax.random.key(0)
    z = normal(2, 16, 2)
    trained = [jax.jit(f.loss)(params, key, z)[0] for f in (FAMILY, other)]
    assert float(trained[0]) == float(trained[1])

    @jax.jit
    def expected_draws(params, key):
        start_key, run_key = jax.random.split(key)
        prior = other.bind(params, 2)
        start = prior.reference.sample(start_key, 9)
        settings = LangevinSettings("ula", 30, 0.02)
        return start, run_langevin(run_key, prior.log_density, start, settings)[0]

    def draws(family):
        return jax.jit(lambda p, key: family.bind(p, 2).sample(key, 9))(params, key)

    start, expected = expected_draws(params, key)
    np.testing.assert_array_equal(draws(other), expected)
    alone = dataclasses.replace(FAMILY, draw_steps=0)
    np.testing.assert_array_equal(draws(alone), start)


def test_penalty_is_added_to_the_loss():
    penalised = EnergyFamily(hidden_sizes=(8, 8), num_steps=5, magnitude_penalty=0.5)
    params = make()[2]["prior"]
    z = normal(0, 16, 2)

    @jax.jit
    def ask(params, key):
        plain, more = (f.loss(params, key, z)[0] for f in (FAMILY, penalised))
        prior = FAMILY.bind(params, 2)
        negatives, _ = prior.run(key, 16)
        magnitude = jnp.mean(prior.tilt(jnp.concatenate([z, negatives])) ** 2)
        return more - plain, magnitude

    difference, magnitude = ask(params, jax.random.key(1))
    np.testing.assert_allclose(difference, 0.5 * magnitude, rtol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_product_with_an_energy_prior_has_the_moments_of_a_grid(size):
    """π_S ∝ Π_j N(z; μ_j, σ_j²) / p(z)^(|S|−1), p a tilted normal with a random f."""
    params = make()[2]["prior"]
    prior = FAMILY.bind(params, 2)
    means = jnp.array([[0.5, -0.3], [1.0, 0.4], [-0.2, 0.6]])
    scales = jnp.array([[0.5, 0.7], [0.6, 0.4], [0.7, 0.6]])
    experts = [
        lambda z, mean=mean, scale=scale: -0.5 * jnp.sum(((z - mean) / scale) ** 2)
        for mean, scale in zip(means[:size], scales[:size], strict=True)
    ]
    density = product_log_density(experts, prior.log_density)

    ticks = np.arange(-4, 4, 0.02)
    points = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    log_p = jax.jit(jax.vmap(density))(jnp.asarray(points, jnp.float32))
    weight = special.softmax(np.float64(log_p))
    mean = weight @ points
    covariance = (points - mean).T @ (weight[:, None] * (points - mean))
    # As many independent draws as chains; 5 standard errors.
    num = 5_000
    tolerance = 5 * np.sqrt(np.diag(covariance) / num)
    if size > 1:  # the tilt matters: without it the answer is another
        bare = product_log_density(experts, prior.reference.log_density)
        log_bare = jax.jit(jax.vmap(bare))(jnp.asarray(points, jnp.float32))
        other = special.softmax(np.float64(log_bare)) @ points
        assert (np.abs(other - mean) > 2 * tolerance).any()

    settings = ChainSettings(num_transitions=60, num_adaptation=60)
    context = jnp.zeros((num, 1))
    log_density = lambda z, context_i: density(z)  # noqa: E731
    start = means[0] + scales[0] * normal(0, 1, num, 2)
    step_size = adapt_step_size(
        jax.random.key(1), log_density, context, start, settings
    )
    z, _, _ = jax.jit(run_chains, static_argnums=(1, 5))(
        jax.random.key(2), log_density, context, start, step_size, settings
    )
    z = np.asarray(z[0], np.float64)
    assert (np.abs(z.mean(0) - mean) < tolerance).all()
    spread = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(z.T) - covariance) < 5 * spread * (2 / len(z)) ** 0.5).all()


def test_inference_with_an_energy_prior_draws_from_it():
    method, _, params = make()
    joint_params = {"joint": params}
    z = method.inference.sample_prior(joint_params, jax.random.key(0), 7)
    draw = jax.jit(lambda params, key: FAMILY.bind(params, 2).sample(key, 7))
    expected = draw(params["prior"], jax.random.key(0))
    np.testing.assert_allclose(z, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("metrics", "warning", "failure"),
    [
        ({}, "", ""),
        ({"langevin/diverged": 0.01, "langevin/acceptance": 0.6}, "", ""),
        (
            {"langevin/diverged": 0.25, "langevin/first_bad_step": 7.0},
            "25.0% of the Langevin chains diverged, the first at their own step 7: the "
            "energy is steeper",
            "",
        ),
        (
            {"langevin/diverged": 0.0, "langevin/acceptance": 0.02},
            "the Langevin chains' mean acceptance is 0.02, expected >= 0.1: the energy",
            "",
        ),
        (
            {"langevin/diverged": 1.0, "langevin/first_bad_step": 1.0},
            "100.0% of the Langevin chains diverged",
            "all Langevin chains of the energy diverged",
        ),
    ],
)
def test_an_energy_judges_its_own_chains(metrics, warning, failure):
    method, _, _ = make()
    for told, expected in zip(
        method.stages[0].watch(metrics), (warning, failure), strict=True
    ):
        assert told.startswith(expected) and bool(told) == bool(expected)
