"""The denoiser on pictures of any sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax.networks.denoiser import Denoiser
from tests.oracles import random_like

NETWORK = Denoiser((4, 6, 8))


def shape_of(*size):
    x = jax.ShapeDtypeStruct((2, *size), jnp.float32)
    t = jax.ShapeDtypeStruct((2,), jnp.float32)
    z = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    return jax.eval_shape(NETWORK.init_with_output, jax.random.key(0), x, t, x, z)


@pytest.mark.parametrize("size", [(28, 28, 1), (16, 16, 3), (15, 9, 3), (7, 12, 2)])
def test_a_picture_keeps_its_shape(size):
    y, _ = shape_of(*size)
    assert y.shape == (2, *size)


def test_all_that_is_given_reaches_every_pixel_and_it_starts_at_zero():
    _, shapes = shape_of(8, 7, 1)
    rng = np.random.default_rng(0)
    x, condition = np.float32(rng.standard_normal((2, 2, 8, 7, 1)))
    t, z = np.float32([0.1, 0.7]), np.float32(rng.standard_normal((2, 3)))
    program = jax.jit(NETWORK.apply)
    run = lambda *args: np.asarray(program(*args))  # noqa: E731
    fresh = jax.jit(NETWORK.init)(jax.random.key(3), x, t, condition, z)
    np.testing.assert_array_equal(run(fresh, x, t, condition, z), 0)
    params = random_like(shapes, seed=0)
    y = run(params, x, t, condition, z)
    for given in ((t + 0.2, condition, z), (t, -condition, z), (t, condition, -z)):
        assert (np.abs(run(params, x, *given) - y) > 1e-6).mean() > 0.95
    # Data of a batch do not mix.
    alone = run(params, x[:1], t[:1], condition[:1], z[:1])
    np.testing.assert_allclose(alone, y[:1], rtol=1e-4, atol=1e-5)
