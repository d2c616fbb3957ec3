"""Hand-stated convolutions against flax's own: values, both gradients, one layout."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.networks import adjoint, conv
from jnf_jax.networks.decoders import ConvDecoder
from jnf_jax.networks.gaussian import ConvTrunk

# kernel, stride, padding, output padding, input side
TRANSPOSED = [
    (4, 2, 1, 0, 4), (3, 2, 1, 0, 4), (3, 2, 1, 1, 7), (4, 1, 0, 0, 1), (3, 3, 0, 2, 3),
    (1, 2, 0, 1, 3), (5, 3, 2, 1, 4),
]  # fmt: skip
STRAIGHT = [(4, 2, 1, 8), (3, 1, 1, 5), (5, 3, 2, 9)]


def choose_way(way, monkeypatch):
    monkeypatch.setattr(conv, "_use_adjoint", lambda: way != "native")
    few = 0 if way == "by phase" else 100
    monkeypatch.setattr(adjoint, "_FEW_CHANNELS", few)


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
def test_derivatives_are_stated_by_hand_on_cpu_alone(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert conv._use_adjoint() == (backend == "cpu")


def values_and_gradients(module, variables, x):
    def loss(variables, x):
        y = module.apply(variables, x)
        return (y * jnp.cos(jnp.arange(y.size).reshape(y.shape))).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(
        variables, x
    )
    return y, gradients


@functools.cache  # one for three ways of ours
def flax_gives(module, size):
    rng = np.random.default_rng(size)
    x = np.float32(rng.standard_normal((2, size, size, 3)))
    variables = random_like(jax.eval_shape(module.init, jax.random.key(1), x), size)
    return x, variables, values_and_gradients(module, variables, x)


def assert_same(ours, theirs, size):
    x, variables, expected = flax_gives(theirs, size)
    shapes = jax.eval_shape(ours.init, jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)
    got = values_and_gradients(ours, variables, x)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["native", "phases at once", "by phase"])
@pytest.mark.parametrize(("k", "s", "p", "op", "size"), TRANSPOSED)
def test_conv_transpose_equals_flax(k, s, p, op, size, way, monkeypatch):
    choose_way(way, monkeypatch)
    edges = (k - 1 - p, k - 1 - p + op)
    theirs = nn.ConvTranspose(
        5, (k, k), (s, s), padding=(edges, edges), transpose_kernel=True
    )
    assert_same(conv.ConvTranspose(5, k, s, p, op), theirs, size)


@pytest.mark.parametrize("way", ["native", "phases at once", "by phase"])
@pytest.mark.parametrize(("k", "s", "p", "size"), STRAIGHT)
def test_conv_equals_flax(k, s, p, size, way, monkeypatch):
    choose_way(way, monkeypatch)
    theirs = nn.Conv(5, (k, k), (s, s), padding=((p, p), (p, p)))
    assert_same(conv.Conv(5, k, s, p), theirs, size)


def test_up_is_the_adjoint_of_down():
    """⟨down(y), x⟩ = ⟨y, up(x)⟩."""
    rng = np.random.default_rng(0)
    y, w, x = (
        np.float32(rng.standard_normal(shape))
        for shape in [(2, 9, 9, 4), (3, 3, 4, 6), (2, 5, 5, 6)]
    )

    @jax.jit
    def both(y, w, x):
        return (adjoint.down(y, w, 2, 1) * x).sum(), (y * adjoint.up(x, w, 2, 1)).sum()

    left, right = both(y, w, x)
    np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("size", [16, 28, 15])
def test_decoder_mirrors_encoder(kernel_size, size):
    features = (4, 6, 8)
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    z = jax.ShapeDtypeStruct((2, 7), jnp.float32)
    trunk = ConvTrunk(features, kernel_size)
    decoder = ConvDecoder((size, size, 3), features, kernel_size, (10,), "sigmoid")
    key = jax.random.key(0)
    h, _ = jax.eval_shape(trunk.init_with_output, key, x)
    y, variables = jax.eval_shape(decoder.init_with_output, key, z)
    assert y.shape == x.shape
    # The last dense layer gives what the encoder's convolutions end with.
    assert variables["params"]["MlpTrunk_0"]["Dense_1"]["bias"].shape == h.shape[1:]
