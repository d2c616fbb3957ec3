"""Nothing is differentiated twice: what XLA counts of a step's multiplications."""

import jax
import jax.numpy as jnp
import pytest

from jnf_jax.methods.method import Batch
from jnf_jax.methods.mmvae import MmvaeSettings
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.laplace import LaplaceFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (64,), "b": (128,)}
BATCH = {m: jnp.ones((32, *shape)) for m, shape in SHAPES.items()}


def gradient_flops(name, prior=NormalFamily(), **options):  # noqa: B008
    """Of one gradient of stage ``joint``, compiled."""
    model = ModelSettings(
        4,
        {"default": NetworkSettings("mlp", hidden_sizes=(128, 128))},
        {"default": LikelihoodSettings("normal", 0.5)},
        joint_hidden_sizes=(16,),
        head_size=16,
        prior=prior,
    )
    method = build_method(
        name,
        SHAPES,
        model=model,
        flow=FlowSettings(num_blocks=0),
        sampler=ChainSettings(),
        **options,
    )
    (stage,) = (stage for stage in method.stages if stage.name == "joint")
    params = stage.init(jax.random.key(0))

    def loss(params):
        return stage.loss(params, None, jax.random.key(1), Batch(BATCH))[0]

    compiled = jax.jit(jax.grad(loss)).lower(params).compile()
    return compiled.cost_analysis()["flops"]


def test_jmvae_encodes_once_for_the_bound_and_for_its_divergences():
    """Beside the joint VAE it has the trunks of two experts, as large as the heads of
    the joint encoder, and as the decoders."""
    both = gradient_flops("jmvae") / gradient_flops("jnf")
    assert both < 1.5, both


@pytest.mark.parametrize("num_samples", [1, 3])
def test_the_published_gradient_of_mmvae_takes_one_pass(num_samples):
    def flops(gradient):
        settings = MmvaeSettings(num_importance_samples=num_samples, gradient=gradient)
        return gradient_flops("mmvae", LaplaceFamily(), mmvae=settings)

    plain = flops("plain")
    assert flops("dreg_published") < 1.05 * plain
    assert flops("dreg") > 1.2 * plain  # it pulls back twice: the test can tell
