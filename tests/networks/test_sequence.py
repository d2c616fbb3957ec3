"""Transformers: shapes, padding, order; that they learn; settings."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax.networks.build import NetworkSettings, build_decoder, build_trunk

SETTINGS = NetworkSettings(
    kind="transformer", features=(8, 8), hidden_sizes=(6,), activation="identity"
)


def _normal(seed, *shape):
    return np.float32(np.random.default_rng(seed).standard_normal(shape))


def _trunk(x):
    """``apply`` and fresh parameters."""
    trunk = build_trunk(SETTINGS)
    return jax.jit(trunk.apply), jax.jit(trunk.init)(jax.random.key(0), x)


def _moved(params, place):
    """The same, with another position there; not by a constant, which norms remove."""
    inner = params["params"]
    positions = np.array(inner["positions"])
    positions[place] += np.arange(8.0)
    return {"params": {**inner, "positions": positions}}


def test_padding_is_not_read():
    x = _normal(1, 3, 5, 4) * (np.arange(5) < 3)[:, None]
    apply, params = _trunk(x)
    code = apply(params, x)
    assert code.shape == (3, 6)
    np.testing.assert_allclose(code, apply(_moved(params, [3, 4]), x), atol=1e-6)
    assert np.abs(apply(_moved(params, [2]), x) - code).max() > 1e-3


def test_order_matters_and_blank_sequences_are_finite():
    x = _normal(1, 3, 5, 4)
    apply, params = _trunk(x)
    assert np.abs(apply(params, x[:, ::-1]) - apply(params, x)).max() > 1e-3
    assert np.isfinite(apply(params, 0 * x)).all()


def test_the_decoder_tells_places_apart():
    decoder = build_decoder(SETTINGS, (5, 4))
    z = _normal(2, 3, 2)
    x, _ = jax.jit(decoder.init_with_output)(jax.random.key(0), z)
    assert x.shape == (3, 5, 4)
    assert np.std(x, axis=1).min() > 1e-3 and np.std(x, axis=0).max() > 1e-3


def test_they_learn_to_write_what_they_read():
    """Tokens (a + b t) mod 4 of three lengths, through a code of 16 numbers."""
    a, b, length = (x.ravel() for x in np.meshgrid(range(4), range(4), (3, 4, 5)))
    tokens = (a[:, None] + b[:, None] * np.arange(5)) % 4
    is_there = np.arange(5) < length[:, None]
    x = jnp.asarray(np.eye(4)[tokens] * is_there[..., None], jnp.float32)
    settings = dataclasses.replace(SETTINGS, features=(16, 16), hidden_sizes=(16,))
    trunk, decoder = build_trunk(settings), build_decoder(settings, (5, 4))
    keys = jax.random.split(jax.random.key(0))
    params = (
        jax.jit(trunk.init)(keys[0], x),
        jax.jit(decoder.init)(keys[1], np.zeros((1, 16), np.float32)),
    )
    optimizer = optax.adam(3e-3)

    @jax.jit
    def logits(params):
        return decoder.apply(params[1], trunk.apply(params[0], x))

    @jax.jit
    def loss(params):
        each = optax.softmax_cross_entropy(logits(params), x)
        return each.sum() / is_there.sum()

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def train(params):
        return jax.lax.scan(step, (params, optimizer.init(params)), length=300)[0][0]

    written = np.asarray(logits(train(params)))
    is_right = (written.argmax(-1) == tokens)[is_there]
    assert is_right.mean() > 0.95  # at every place each token is as frequent: 0.25
    assert loss(params) > np.log(4) - 0.1


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({}, (28, 28, 1), r"expected a sequence .*\(28, 28, 1\)"),
        ({"features": (8, 16)}, (5, 4), "repeated for each"),
        ({"features": (6,)}, (5, 4), "multiple of 4"),
        ({"features": ()}, (5, 4), "expected one width"),
        ({"kind": "conv"}, (5, 4), r"images \[H, W, C\]"),
        ({"kind": "conv", "features": (8,)}, (28, 31, 1), "odd and even"),
    ],
)
def test_bad_settings(changes, shape, message):
    settings = dataclasses.replace(SETTINGS, **changes)
    (fault,) = settings.shape_faults("model.networks.a", shape)
    assert re.search(message, fault)


def test_good_settings():
    assert not SETTINGS.shape_faults("a", (5, 4))
    conv = NetworkSettings(kind="conv", features=(4, 8))
    assert not conv.shape_faults("a", (32, 64, 1))
    decoder = build_decoder(conv, (32, 64, 1))
    x, _ = jax.eval_shape(decoder.init_with_output, jax.random.key(0), jnp.ones((2, 3)))
    assert x.shape == (2, 32, 64, 1)
