"""A linear map beside a network, and the linear-Gaussian posterior beside an MLP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.flows.triangular import cholesky
from jnf_jax.networks import linear_experts
from jnf_jax.networks.build import NetworkSettings, build_decoder, build_trunk
from jnf_jax.networks.gaussian import JointEncoder
from jnf_jax.networks.linear_experts import _roots
from jnf_jax.options import faults

RNG = np.random.default_rng(0)
SETTINGS = NetworkSettings(
    "mlp", hidden_sizes=(4,), activation="identity", linear_path=True
)
LOADINGS = {"a": RNG.normal(size=(3, 2)), "b": RNG.normal(size=(1, 2))}
NOISE = 0.3


def zeros(module, *arguments):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *arguments)
    return jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)["params"]


def test_without_its_network_a_decoder_is_linear():
    decoder, z = build_decoder(SETTINGS, (2, 3)), RNG.normal(size=(5, 2))
    params, kernel = zeros(decoder, jnp.zeros((1, 2))), RNG.normal(size=(2, 6))
    params["Dense_0"]["kernel"][4:] = kernel  # after the four of the hidden layer
    found = decoder.apply({"params": params}, jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(found, (z @ kernel).reshape(5, 2, 3), rtol=1e-4)


@pytest.mark.parametrize("present", [None, "a", "b"])
def test_a_joint_encoder_is_exact_without_its_networks(present):
    """Means of p(z|x_O), and the diagonal normal that comes nearest to it."""
    heads = tuple((m, build_trunk(SETTINGS)) for m in LOADINGS)
    encoder = JointEncoder(
        heads, (4,), 2, head_size=3, takes_partial=True, linear_path=True
    )
    blank = {m: jnp.zeros((1, len(a))) for m, a in LOADINGS.items()}
    given = {m: jnp.ones(1, bool) for m in LOADINGS}
    params, precision = zeros(encoder, blank, given), np.eye(2)
    for m, a in LOADINGS.items():
        params[f"absent_{m}"] += 5.0  # read by the MLP alone
        params[f"head_{m}"]["kernel"][4:, : len(a)] = np.eye(len(a))
        linear = params["linear"]
        linear[f"gain_{m}"][: len(a)] = a / NOISE**2
        root = np.linalg.cholesky(a.T @ a / NOISE**2 + 1e-9 * np.eye(2))
        linear[f"precision_{m}"][:] = root
        if present in (None, m):
            precision += a.T @ a / NOISE**2
    views = {m: RNG.normal(size=(5, len(a))) for m, a in LOADINGS.items()}
    mask = present and {m: jnp.full(5, m == present) for m in LOADINGS}
    shown = {m: jnp.asarray(x, jnp.float32) for m, x in views.items()}
    code = encoder.apply({"params": params}, shown, mask)
    pull = sum(
        views[m] @ a / NOISE**2 for m, a in LOADINGS.items() if present in (None, m)
    )
    np.testing.assert_allclose(
        code.mean, np.linalg.solve(precision, pull.T).T, rtol=1e-3, atol=1e-4
    )
    scale = np.broadcast_to(np.diag(precision) ** -0.5, (5, 2))
    np.testing.assert_allclose(code.scale, scale, rtol=1e-4)


def test_subsets_that_many_rows_share_are_factorised_once(monkeypatch):
    """Few rows and many have one root each, and one gradient."""
    products = jnp.asarray(RNG.normal(size=(3, 4, 4)), jnp.float32)
    products = products @ jnp.swapaxes(products, 1, 2)
    flags = jnp.asarray(RNG.random((40, 3)) < 0.5)
    weights = jnp.asarray(RNG.normal(size=(40, 4, 4)), jnp.float32)

    def total(products, parts):
        roots = [_roots(products, flags[part]) for part in parts]
        return jnp.sum(weights * jnp.concatenate(roots))

    shared = jax.value_and_grad(total)(products, [slice(None)])
    alone = jax.value_and_grad(total)(
        products, [slice(i, i + 5) for i in range(0, 40, 5)]
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), shared, alone
    )
    root = _roots(products, flags)[7]
    known = np.eye(4) + sum(
        np.asarray(p) for p, b in zip(products, flags[7], strict=True) if b
    )
    np.testing.assert_allclose(root @ root.T, known, rtol=1e-4)
    factorised = []
    monkeypatch.setattr(
        linear_experts, "cholesky", lambda a: factorised.append(len(a)) or cholesky(a)
    )
    _roots(products, flags)
    _roots(products, flags[:5])
    assert factorised == [2**3, 5]


def test_dense_layers_alone_have_a_linear_path():
    conv = NetworkSettings("conv", (8,), linear_path=True)
    told = "`networks.a.linear_path` is True, expected False of 'conv'"
    assert faults(conv, "networks.a") == [told]
