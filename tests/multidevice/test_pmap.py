"""Losses hold no collectives, so that a fork may run them under ``pmap``."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax.losses import JointModel, joint_elbo
from jnf_jax.priors.normal import NormalPrior

pytestmark = [
    pytest.mark.multidevice,
    pytest.mark.skipif(
        jax.device_count() < 2,
        reason="XLA_FLAGS=--xla_force_host_platform_device_count=8 gives some",
    ),
]

MODEL = JointModel(
    encode=lambda params, views: distrax.MultivariateNormalDiag(
        views["x"] @ params["in"], jnp.ones((views["x"].shape[0], 2)) / 2
    ),
    decode=lambda params, z: {
        "x": distrax.Independent(distrax.Normal(z @ params["out"], 1.0), 1)
    },
    prior=lambda params: NormalPrior(2),
)


def loss(params, rng_key, views):
    return -jnp.mean(joint_elbo(params, rng_key, views, model=MODEL).objective)


def test_a_step_under_pmap_is_that_of_jit():
    num_devices = jax.device_count()
    keys = jax.random.split(jax.random.key(0), 3)
    params = {
        "in": jax.random.normal(keys[0], (4, 2)),
        "out": jax.random.normal(keys[1], (2, 4)),
    }
    views = {"x": jax.random.normal(keys[2], (num_devices, 5, 4))}
    rng_keys = jax.random.split(jax.random.key(1), num_devices)
    adam = optax.adam(0.1)
    state = adam.init(params)

    def applied(gradient):
        updates, _ = adam.update(gradient, state, params)
        return gradient, optax.apply_updates(params, updates)

    def step(params, rng_key, views):
        gradient = jax.grad(loss)(params, rng_key, views)
        return applied(jax.lax.pmean(gradient, "devices"))

    def mean_loss(params):
        return jnp.mean(jax.vmap(loss, (None, 0, 0))(params, rng_keys, views))

    by_pmap = jax.pmap(step, "devices", in_axes=(None, 0, 0))(params, rng_keys, views)
    by_jit = jax.jit(lambda params: applied(jax.grad(mean_loss)(params)))(params)
    for copies, whole in zip(*map(jax.tree.leaves, (by_pmap, by_jit)), strict=True):
        for copy in np.asarray(copies):
            np.testing.assert_allclose(copy, whole, rtol=1e-5, atol=1e-6)
