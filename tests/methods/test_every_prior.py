"""Each prior in each method with a joint encoder: it learns, and subsets divide by it.

Mixtures of experts have theirs in test_mmvae_plus.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.methods.jnf_shared import ProjectorSettings
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import (
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.registry import PRIORS
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (3,), "b": (2,), "c": (2,), "d": (3,)}
SUBSET, NUM = ("a", "c", "d"), 6
OPTIONS = {"energy": EnergyFamily(hidden_sizes=(8,), num_steps=3)}


def make(method_name, prior):
    return build_method(
        method_name,
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(4,))},
            {"default": LikelihoodSettings("normal", 0.5)},
            joint_hidden_sizes=(4,),
            prior=prior,
        ),
        flow=FlowSettings(
            num_blocks=0 if method_name == "jmvae" else 1, hidden_sizes=(4,)
        ),
        sampler=ChainSettings("hmc", num_transitions=3, num_leapfrog=2),
        projectors=ProjectorSettings("nt_xent", 2, posterior_hidden_sizes=(4,)),
    )


def views(num=NUM):
    rng = np.random.default_rng(0)
    return {
        m: jnp.asarray(rng.random((num, *shape)), jnp.float32)
        for m, shape in SHAPES.items()
    }


def test_the_kl_to_a_normal_of_learnt_scales_has_no_sampling_noise():
    """Its mean over draws is the same, and another kind of kernel has noise."""
    x, key = views(), jax.random.key(1)

    def joint_with(kind):
        joint = make("jnf", PRIORS["learnable_scale"](kind=kind)).inference.joint
        return joint, random_like(jax.eval_shape(joint.init, key), 0, scale=1)

    def log_ratio_with(kind):
        joint, params = joint_with(kind)
        program = jax.jit(lambda key: joint.objective(params, key, x).log_ratio)
        return lambda seed: np.asarray(program(jax.random.key(seed)))

    joint, params = joint_with("normal")
    code, scale = jax.device_get(
        jax.jit(lambda p: (joint.code(p, x), joint.prior_of(p).scale))(params)
    )
    assert abs(float(scale[0] - scale[1])) > 0.1
    expected = sum(
        np.log(s / code.scale[:, d])
        + (code.scale[:, d] ** 2 + code.mean[:, d] ** 2) / (2 * s**2)
        - 0.5
        for d, s in enumerate(scale)
    )
    log_ratio = log_ratio_with("normal")
    np.testing.assert_allclose(log_ratio(1), expected, rtol=1e-4)
    assert (log_ratio(1) == log_ratio(2)).all()
    noisy = log_ratio_with("laplace")
    assert not np.allclose(noisy(0), noisy(1))


# All methods with a joint encoder share their inference: an energy stands for the rest.
COMBINATIONS = [("jnf", name) for name in sorted(PRIORS)]
COMBINATIONS += [("jmvae", "energy"), ("jnf_shared", "energy")]


@pytest.mark.slow
@pytest.mark.parametrize(("method_name", "prior_name"), COMBINATIONS)
def test_a_prior_learns_and_subsets_divide_by_it(method_name, prior_name):
    family = OPTIONS.get(prior_name) or PRIORS[prior_name]()
    method = make(method_name, family)
    stages, inference = {s.name: s for s in method.stages}, method.inference
    shapes = {
        name: jax.eval_shape(stage.init, jax.random.key(0))
        for name, stage in stages.items()
    }
    params = {
        n: random_like(s, seed, scale=1) for seed, (n, s) in enumerate(shapes.items())
    }

    @jax.jit
    def step_and_draw(params, x):
        """A gradient step; draws given three of four; their log density, twice."""
        loss = lambda p: stages["joint"].loss(p, None, jax.random.key(1), Batch(x))[0]  # noqa: E731
        gradient = jax.grad(loss)(params["joint"])
        joint = jax.tree.map(
            lambda p, g: p - 1e-3 * g / (1 + jnp.abs(g)), params["joint"], gradient
        )
        params = params | {"joint": joint}
        z, _ = inference.infer(params, jax.random.key(2), x, SUBSET, jnp.float32(0.05))
        experts = inference.unimodal_log_probs(params, x, z)
        log_prior = inference.prior_of(params, prior_name).log_density(z)
        flows, codes = inference._experts_of(params, x, SUBSET)
        density = inference._log_density({"joint": params["joint"]}, flows)
        product = sum(experts[m] for m in SUBSET) - 2 * log_prior
        return gradient, z, product, jax.vmap(density)(z, codes)

    gradient, z, expected, got = step_and_draw(params, views())
    parts = {"encoder", "decoders"} | ({"prior"} if "prior" in gradient else set())
    for part in parts:
        leaves = jax.tree.leaves(gradient[part])
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        assert any(np.abs(leaf).max() > 1e-8 for leaf in leaves), part
    assert z.shape == (NUM, 2) and np.isfinite(z).all()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
