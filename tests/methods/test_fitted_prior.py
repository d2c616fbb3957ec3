"""A prior fitted afterwards finds the aggregate posterior, and leaves all else be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax.methods.fitted_prior import FITTED_FAMILIES
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.registry import PRIORS
from jnf_jax.sampling import ChainSettings

pytestmark = pytest.mark.usefixtures("quick_compiles")

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

    params = stage.init(jax.random.key(0))
    state = optimizer.init(params)
    for number in range(600):
        params, state = step(params, state, jax.random.key(number))
    variance = cached["mean"].var(0) + (cached["scale"] ** 2).mean(0)
    np.testing.assert_allclose(params["means"][0], cached["mean"].mean(0), atol=0.02)
    np.testing.assert_allclose(
        jnp.exp(params["log_scales"][0]), jnp.sqrt(variance), rtol=0.02
    )
    z = method.inference.sample_prior(
        {"prior": params}, jax.random.key(1), 20_000, "mixture_after"
    )
    # 5 standard errors of a mean and of a sd.
    assert (jnp.abs(z.mean(0) - params["means"][0]) < 5 * (variance / 2e4) ** 0.5).all()
    np.testing.assert_allclose(z.std(0), jnp.sqrt(variance), rtol=0.03)


@pytest.mark.parametrize("method_name", ["jnf", "jmvae"])
@pytest.mark.parametrize("name", sorted(FITTED_FAMILIES))
def test_each_family_is_a_stage_of_its_own(name, method_name):
    family = FITTED_FAMILIES[name]()
    method, plain = make(family, method_name), make(None, method_name)
    assert [s.name for s in method.stages] == [*(s.name for s in plain.stages), "prior"]
    assert plain.inference.prior_names == ("normal",)
    assert method.inference.prior_names == ("normal", f"{name}_after")
    stage = method.stages[-1]
    params = stage.init(jax.random.key(0))
    cached = {"mean": jnp.ones((6, 2)), "scale": jnp.full((6, 2), 0.5)}
    gradient = jax.grad(
        lambda p: stage.loss(p, None, jax.random.key(1), Batch({}, cached))[0]
    )(params)
    assert any(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(gradient))
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


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="`fitted_prior.name` is 'vamp', expected one"):
        make(PRIORS["vamp"]())
