"""Residual networks: the published sizes, and a block against its equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.networks.build import NetworkSettings, build_decoder, build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder
from jnf_jax.networks.residual import ResidualBlock

PUBLISHED = NetworkSettings("residual", features=(64, 128, 256), activation="identity")


def count(module, *inputs):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_parameters_are_as_many_as_published_for_polymnist():
    encoder = GaussianEncoder(build_trunk(PUBLISHED), 32)
    # Two trunks, one for each latent.
    assert 2 * count(encoder, jnp.zeros((1, 28, 28, 3))) == 2_946_048
    decoder = build_decoder(PUBLISHED, (28, 28, 3))
    assert count(decoder, jnp.zeros((1, 64))) == 1_485_251


@pytest.mark.parametrize("channels", [2, 5])
def test_block_is_its_equation(channels):
    block = ResidualBlock(3)
    x = jax.random.normal(jax.random.key(0), (2, 4, 5, channels))
    params = random_like(jax.eval_shape(block.init, jax.random.key(0), x), 1)["params"]

    def convolution(name, x):
        y = jax.lax.conv_general_dilated(
            x, params[name]["kernel"], (1, 1), "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return y + params[name]["bias"]

    h = convolution("Conv_0", jnp.where(x > 0, x, 0.2 * x))
    assert h.shape[-1] == min(channels, 3)
    h = convolution("Conv_1", jnp.where(h > 0, h, 0.2 * h))
    expected = x @ params["shortcut"]["kernel"] + 0.1 * h
    np.testing.assert_allclose(
        block.apply({"params": params}, x), expected, rtol=1e-4, atol=1e-5
    )


def test_equal_channels_pass_unchanged():
    x = jnp.ones((1, 4, 4, 3))
    shapes = jax.eval_shape(ResidualBlock(3).init, jax.random.key(0), x)
    assert set(shapes["params"]) == {"Conv_0", "Conv_1"}


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 12, 3)])
def test_decoder_mirrors_encoder(shape):
    settings = NetworkSettings("residual", features=(4, 5, 6), hidden_sizes=(7,))
    assert not settings.shape_faults("n", shape)
    trunk, decoder = build_trunk(settings), build_decoder(settings, shape)
    x, z = jnp.zeros((2, *shape)), jnp.zeros((2, 3))
    key = jax.random.key(0)
    features = jax.eval_shape(lambda: trunk.init_with_output(key, x)[0])
    drawn = jax.eval_shape(lambda: decoder.init_with_output(key, z)[0])
    assert features.shape == (2, 7) and drawn.shape == (2, *shape)


@pytest.mark.parametrize(
    ("features", "shape"), [((), (8, 8, 3)), ((4, 4), (7, 8, 3)), ((4, 4), (8,))]
)
def test_sizes_that_cannot_be_halved_are_refused(features, shape):
    found = NetworkSettings("residual", features=features).shape_faults("n", shape)
    assert len(found) == 1 and "`n` is residual with features" in found[0]
