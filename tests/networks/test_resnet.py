"""Residual networks: their published sizes, and what they refuse."""

import re

import jax
import jax.numpy as jnp
import pytest

from jnf_jax.networks.build import NetworkSettings, build_decoder, build_trunk

PUBLISHED = NetworkSettings(kind="resnet", features=(64, 128, 256))


def _num_params(module, x):
    y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    return y.shape, sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_the_published_decoder_has_its_number_of_parameters():
    # 1,485,251 in MMVAE+, whose latent has 64 dimensions.
    decoder = build_decoder(PUBLISHED, (28, 28, 3))
    assert _num_params(decoder, jnp.ones((2, 64))) == ((2, 28, 28, 3), 1_485_251)


def test_the_published_encoder_has_its_number_of_parameters():
    # Two trunks, each with two linear maps 12,544 -> 32, are 2,946,048 in MMVAE+.
    shape, size = _num_params(build_trunk(PUBLISHED), jnp.ones((2, 28, 28, 3)))
    assert shape == (2, 12_544)
    assert 2 * (size + 2 * (12_544 + 1) * 32) == 2_946_048


@pytest.mark.parametrize(
    ("features", "shape"), [((8, 8), (28, 27, 1)), ((), (28, 28, 1)), ((8,), (5, 4))]
)
def test_pictures_that_do_not_halve(features, shape):
    settings = NetworkSettings(kind="resnet", features=features)
    faults = settings.faults("a", shape)
    assert len(faults) == 1 and re.search("is residual with features", faults[0])
    assert not PUBLISHED.faults("a", (64, 64, 3))
