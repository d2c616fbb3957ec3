"""Inception-v3's shapes, and what its converter refuses; tests/fid compares values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.networks import inception

PICTURES = jax.ShapeDtypeStruct((2, 28, 28, 3), jnp.float32)


@pytest.fixture(scope="module")
def shapes():
    network = inception.Inception()
    return jax.eval_shape(network.init, jax.random.key(0), PICTURES)["params"]


@pytest.fixture(scope="module")
def tensors(shapes):
    """Names and shapes as in the published file, values by layer; no memory a value."""
    found = {}

    def walk(tree, path):
        if "kernel" not in tree:
            for name, part in tree.items():
                walk(part, (*path, name))
            return
        height, width, inputs, outputs = tree["kernel"].shape
        layer, shape = ".".join(path), (outputs, inputs, height, width)
        values = {"weight": 2.0, "bias": 3.0, "running_mean": 5.0, "running_var": 0.249}
        found[f"{layer}.conv.weight"] = np.broadcast_to(np.float32(7), shape)
        for name, value in values.items():
            value = np.broadcast_to(np.float32(value), (outputs,))
            found[f"{layer}.bn.{name}"] = value
        found[f"{layer}.bn.num_batches_tracked"] = np.int64(0)

    walk(shapes, ())
    return found | {"fc.weight": np.zeros(1), "fc.bias": np.zeros(1)}


def test_it_has_as_many_parameters_as_the_published_network(shapes):
    """21,751,136 in convolutions and 17,216 channels: Keras's count without the head is
    21,802,784, which adds three numbers a channel."""
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 21_751_136 + 17_216


def test_every_block_has_the_channels_of_the_paper(shapes):
    """Table 1 of arXiv 1512.00567: 35 × 35 × 288, 17 × 17 × 768, 8 × 8 × 2048."""
    features, kept = jax.eval_shape(
        lambda p, x: inception.Inception().apply(
            {"params": p}, x, capture_intermediates=True
        ),
        shapes,
        PICTURES,
    )
    assert features.shape == (2, 2048)
    found = {
        name: kept["intermediates"][name]["__call__"][0].shape
        for name in inception.BLOCKS
    }
    assert found["Mixed_5b"] == (2, 35, 35, 256)
    assert found["Mixed_5d"] == (2, 35, 35, 288)
    for name in "abcde":
        assert found[f"Mixed_6{name}"] == (2, 17, 17, 768)
    assert found["Mixed_7a"] == (2, 8, 8, 1280)
    assert found["Mixed_7c"] == (2, 8, 8, 2048)


def test_normalisation_is_folded_in(tensors, shapes):
    """γ/√(σ² + ε) = 2/√0.25 = 4: kernel 7 · 4, bias 3 − 4 · 5."""
    params = inception.from_torch(tensors)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    for layer in (params["Conv2d_1a_3x3"], params["Mixed_7c"]["branch_pool"]):
        assert layer["kernel"].dtype == layer["bias"].dtype == np.float32
        np.testing.assert_allclose(layer["kernel"], 28, rtol=1e-5)
        np.testing.assert_allclose(layer["bias"], -17, rtol=1e-5)


def test_other_networks_are_refused(tensors):
    name = "Mixed_6b.branch7x7_2.conv.weight"
    without = {n: t for n, t in tensors.items() if n != name}
    with pytest.raises(ValueError, match=rf"has no '{name}', expected shape \(128, "):
        inception.from_torch(without)
    square = np.zeros((128, 128, 7, 7), np.float32)
    with pytest.raises(ValueError, match=r"7, 7\), expected \(128, 128, 1, 7\)"):
        inception.from_torch(tensors | {name: square})
    with pytest.raises(ValueError, match="unknown names .'Mixed_8a.x'"):
        inception.from_torch(tensors | {"Mixed_8a.x": square})
