"""Losses hold no collectives, so that a fork may run them under ``pmap``."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
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


def test_pmap_gives_the_gradient_of_jit():
    num_devices = jax.device_count()
    keys = jax.random.split(jax.random.key(0), 3)
    params = {
        "in": jax.random.normal(keys[0], (4, 2)),
        "out": jax.random.normal(keys[1], (2, 4)),
    }
    views = {"x": jax.random.normal(keys[2], (num_devices, 5, 4))}
    rng_keys = jax.random.split(jax.random.key(1), num_devices)

    def mean_gradient(params, rng_key, views):
        return jax.lax.pmean(jax.grad(loss)(params, rng_key, views), "devices")

    def mean_loss(params):
        return jnp.mean(jax.vmap(loss, (None, 0, 0))(params, rng_keys, views))

    by_pmap = jax.pmap(mean_gradient, "devices", in_axes=(None, 0, 0))(
        params, rng_keys, views
    )
    by_jit = jax.jit(jax.grad(mean_loss))(params)
    for name, gradient in by_jit.items():
        for copy in np.asarray(by_pmap[name]):
            np.testing.assert_allclose(copy, gradient, rtol=1e-5, atol=1e-6)
