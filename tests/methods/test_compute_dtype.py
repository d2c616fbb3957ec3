"""bfloat16 computation: how far the loss moves, and what stays float32."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import options
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (16, 16, 3), "b": (16, 16, 1)}
SETTINGS = ModelSettings(
    latent_dim=8,
    joint_hidden_sizes=(64,),
    networks={
        "a": NetworkSettings("conv", features=(16, 32), hidden_sizes=(64,)),
        "b": NetworkSettings("mlp", hidden_sizes=(64,)),
    },
    likelihoods={"default": LikelihoodSettings("laplace", scale=0.15)},
)


def joint_stage(dtype, name="jnf"):
    settings = dataclasses.replace(SETTINGS, compute_dtype=dtype)
    method = build_method(
        name, SHAPES, model=settings, flow=FlowSettings(), sampler=ChainSettings()
    )
    return method.stages[0]


def test_encoders_of_every_method_are_computed_in_it():
    """All convolutions, those of encoders and of decoders, are of bfloat16."""
    views = {m: jnp.zeros((2, *shape)) for m, shape in SHAPES.items()}
    for name in ("jnf", "mmvae_plus"):
        stage = joint_stage("bfloat16", name)
        params = jax.eval_shape(stage.init, jax.random.key(0))
        program = jax.make_jaxpr(
            lambda p, stage=stage: stage.loss(p, None, jax.random.key(0), Batch(views))
        )(params)
        dtypes = re.findall(r":(\w+)\[[\d,]*\] = conv_general_dilated", str(program))
        assert dtypes and set(dtypes) == {"bf16"}, name


@pytest.fixture(scope="module")
def computed():
    """Parameters, and (loss, metrics), gradient with each compute dtype."""
    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    views = {
        m: jax.random.uniform(key, (32, *shape))
        for key, (m, shape) in zip(keys, SHAPES.items(), strict=True)
    }
    params = jax.jit(joint_stage("bfloat16").init)(jax.random.key(1))
    found = {}
    for dtype in ("float32", "bfloat16"):
        loss = jax.jit(jax.value_and_grad(joint_stage(dtype).loss, has_aux=True))
        found[dtype] = loss(params, None, jax.random.key(2), Batch(views))
    return params, found


def test_the_loss_moves_by_the_rounding_of_bfloat16(computed):
    (one, _), (other, _) = (found[0] for found in computed[1].values())
    # Measured on CPU: 3.5e-4 of itself, 834.58 and 834.29 nats; one rounding of one
    # pixel's mean is up to 2⁻⁹ = 2e-3 of that.
    moved = abs(float(other / one) - 1)
    assert 0 < moved < 1e-3, moved


def test_the_gradient_keeps_its_direction(computed):
    one, other = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found[1])])
        for found in computed[1].values()
    )
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    # Measured on CPU: 1 − 5.7e-4.
    assert 1 - cosine < 1e-3, 1 - cosine


def test_parameters_terms_and_gradients_stay_float32(computed):
    params, found = computed
    (loss, metrics), gradient = found["bfloat16"]
    leaves = jax.tree.leaves((params, loss, metrics, gradient))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}


def test_another_dtype_is_a_fault():
    settings = dataclasses.replace(SETTINGS, compute_dtype="float16")
    assert "`model.compute_dtype` is 'float16'" in options.faults(settings, "model")[0]
