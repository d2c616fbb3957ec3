import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.flows import (
    MaskedAutoregressive,
    base_distance,
    flow_posterior,
    masked_autoregressive_flow,
)
from jnf_jax.networks.made import made_stack


@functools.cache
def initial_params(made, context_size):
    context = jnp.ones(context_size) if context_size else None
    return jax.jit(made.init)(jax.random.key(0), jnp.zeros(made.event_size), context)


def conditioners(event_size, hidden_sizes, num_blocks, context_size, *, random=True):
    """The conditioners of a flow, away from the identity unless told otherwise."""
    rng = np.random.default_rng(context_size)
    context = jnp.asarray(rng.standard_normal(context_size), jnp.float32)
    context = context if context_size else None
    found = []
    for block, made in enumerate(made_stack(event_size, hidden_sizes, num_blocks)):
        if random:
            arguments = jax.random.key(0), jnp.zeros(event_size), context
            params = random_like(jax.eval_shape(made.init, *arguments), seed=block)
        else:
            params = initial_params(made, context_size)
        found.append(jax.tree_util.Partial(made.apply, params, context=context))
    return found


# name -> (D, hidden sizes, number of blocks, context size)
FLOWS = {
    "one_block": (5, (16,), 1, 0),
    "two_blocks_context": (4, (8, 8, 8), 2, 2),
    "three_blocks_context": (3, (8,), 3, 2),
    "four_blocks": (3, (8,), 4, 0),
    "one_coordinate": (1, (4, 4), 2, 0),
    "one_coordinate_context": (1, (4, 4), 2, 3),
    "narrow": (9, (4, 3), 2, 0),
    "narrow_context": (9, (4,), 3, 2),
}


@functools.cache
def bijector(name):
    return masked_autoregressive_flow(conditioners(*FLOWS[name]))


def events(name, num=6, seed=3):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((num, FLOWS[name][0])) + 0.5, jnp.float32)


@pytest.mark.parametrize("name", FLOWS)
def test_bijector(name):
    flow, x = bijector(name), events(name)

    @jax.jit
    def compute(x):
        z, forward_log_det = flow.forward_and_log_det(x)
        u, inverse_log_det = flow.inverse_and_log_det(x)
        back, back_log_det = flow.inverse_and_log_det(z)
        log_dets = [
            jnp.linalg.slogdet(jax.vmap(jax.jacfwd(f))(x))[1]
            for f in (flow.forward, flow.inverse)
        ]
        return z, u, back, back_log_det, forward_log_det, inverse_log_det, log_dets

    z, u, back, back_log_det, forward_log_det, inverse_log_det, dense = compute(x)
    assert min(jnp.abs(z - x).max(), jnp.abs(u - x).max()) > 0.1  # not the identity
    assert z.dtype == u.dtype == jnp.float32
    # float32 through up to four blocks
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    close(back, x, err_msg="inverse after forward")
    close(back_log_det, -forward_log_det, err_msg="log-determinants cancel")
    close(forward_log_det, dense[0], err_msg="forward against autodiff")
    close(inverse_log_det, dense[1], err_msg="inverse against autodiff")


@pytest.mark.parametrize(
    ("num_blocks", "context_size"), [(0, 3), (1, 3), (2, 3), (3, 3), (4, 3), (3, 0)]
)
def test_identity_at_initialisation(num_blocks, context_size):
    base = distrax.MultivariateNormalDiag(
        jnp.asarray([0.5, -1.0, 2.0]), jnp.asarray([0.3, 1.0, 2.0])
    )
    blocks = conditioners(3, (6, 6), num_blocks, context_size, random=False)
    x = jnp.asarray([[0.1, 0.2, 0.3], [-4.0, 5.0, 6.0]])

    @jax.jit
    def compare(x):
        posterior = flow_posterior(base, blocks)
        rng_key = jax.random.key(0)
        return [(d.log_prob(x), d.sample(seed=rng_key)) for d in (posterior, base)]

    for got, expected in zip(*compare(x), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_zero_blocks_is_the_base_itself():
    base = distrax.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3))
    assert flow_posterior(base, []) is base
    with pytest.raises(ValueError, match="conditioners: got none"):
        masked_autoregressive_flow([])


def test_first_block_is_nearest_to_z():
    # u = f_1(f_0(z)): block 0 acts first in the density direction.
    add = lambda z: (jnp.full_like(z, 1.0), jnp.zeros_like(z))  # noqa: E731
    scale = lambda z: (jnp.zeros_like(z), jnp.full_like(z, 0.5))  # noqa: E731
    s = 4 * np.tanh(0.5 / 4)
    flow = masked_autoregressive_flow([add, scale])
    z = jnp.asarray([3.0, 5.0])
    np.testing.assert_allclose(flow.inverse(z), (z - 1) * np.exp(-s), rtol=1e-6)
    np.testing.assert_allclose(flow.forward(z), z * np.exp(s) + 1, rtol=1e-6)


def test_odd_blocks_run_in_reverse():
    flow = masked_autoregressive_flow(conditioners(4, (8, 8), 2, 0))
    z = jnp.asarray([0.3, -0.2, 0.9, 1.4])
    first, second = (jax.jit(jax.jacfwd(block.inverse))(z) for block in flow.bijectors)
    np.testing.assert_array_equal(first, np.tril(first))
    np.testing.assert_array_equal(second, np.triu(second))
    assert (np.abs(first)[np.tril_indices(4)] > 0).all()
    assert (np.abs(second)[np.triu_indices(4)] > 0).all()


def test_density_integrates_to_one():
    base = distrax.MultivariateNormalDiag(
        jnp.asarray([0.3, -0.2]), jnp.asarray([0.8, 0.6])
    )
    posterior = flow_posterior(base, conditioners(2, (8, 8), 2, 2))
    axis = jnp.linspace(-30.0, 30.0, 1201)
    grid = jnp.stack(jnp.meshgrid(axis, axis), -1)
    mass = jnp.exp(jax.jit(posterior.log_prob)(grid)).sum() * (axis[1] - axis[0]) ** 2
    # measured 1.000 +- 0.001 at this spacing and range
    assert abs(float(mass) - 1) < 5e-3


def test_draws_have_the_density():
    base = distrax.MultivariateNormalDiag(
        jnp.asarray([[0.3, -0.2, 0.0], [1.0, 0.0, 2.0]]), jnp.full((2, 3), 0.7)
    )
    posterior = flow_posterior(base, conditioners(3, (8, 8), 3, 2))

    @jax.jit
    def draw(rng_key):
        z, log_prob = posterior.sample_and_log_prob(seed=rng_key, sample_shape=(5,))
        return z, log_prob, posterior.log_prob(z)

    z, log_prob, again = draw(jax.random.key(0))
    assert z.shape == (5, 2, 3) and log_prob.shape == (5, 2)
    np.testing.assert_allclose(again, log_prob, rtol=1e-4, atol=1e-4)


def test_batch_shapes_vmap_and_grad_agree():
    flow = bijector("two_blocks_context")
    x = events("two_blocks_context", num=12).reshape(3, 4, 4)
    for method in (flow.forward_and_log_det, flow.inverse_and_log_det):

        @jax.jit
        def compute(x, method=method):
            gradient = jax.grad(lambda x: sum(map(jnp.sum, method(x))))(x)
            return method(x), jax.vmap(jax.vmap(method))(x), gradient

        (y, log_det), mapped, gradient = compute(x)
        assert y.shape == x.shape and log_det.shape == (3, 4)
        for got, expected in zip(mapped, (y, log_det), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        assert jnp.isfinite(gradient).all() and (gradient != 0).any()


def test_bijector_crosses_a_jit_boundary_as_a_pytree():
    flow = bijector("two_blocks_context")
    x = events("two_blocks_context")
    got = jax.jit(lambda flow, x: flow.inverse(x))(flow, x)
    expected = jax.jit(flow.inverse)(x)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_log_scale_is_clamped_and_far_points_stay_finite():
    wild = lambda z: (z * 0, jnp.full_like(z, 1e6))  # noqa: E731
    block = MaskedAutoregressive(wild, max_log_scale=3.0)
    u, log_det = block.inverse_and_log_det(jnp.full(2, 1e6))
    np.testing.assert_allclose(log_det, -6.0)
    assert jnp.isfinite(u).all()
    far = flow_posterior(
        distrax.MultivariateNormalDiag(jnp.zeros(4), jnp.ones(4)),
        conditioners(4, (8, 8), 2, 0),
    )
    assert jnp.isfinite(jax.jit(far.log_prob)(jnp.full(4, 1e4)))


def test_coordinates_still_to_come_are_zero_when_the_conditioner_sees_them():
    # What it says of coordinates whose predecessors are not set yet is garbage, here
    # inf; writing the whole vector would feed that garbage back.
    def conditioner(z):
        before = jnp.concatenate([jnp.ones_like(z[..., :1]), z[..., :-1]], -1)
        leak = (
            0 * jnp.cumsum(z[..., ::-1], -1)[..., ::-1]
        )  # NaN if any later one is inf
        return 1 / before + leak, jnp.zeros_like(z)

    u = jnp.asarray([0.5, -3.0, 2.0, 0.25])
    expected, before = [], 1.0
    for value in np.asarray(u):
        before = value + 1 / before
        expected.append(before)
    z = MaskedAutoregressive(conditioner).forward(u)
    np.testing.assert_allclose(z, expected, rtol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="max_log_scale: got 0"):
        MaskedAutoregressive(lambda z: (z, z), max_log_scale=0.0)
    short = MaskedAutoregressive(lambda z: (z[..., :1], z))
    with pytest.raises(ValueError, match="conditioner: got shapes"):
        short.inverse(jnp.zeros(3))


def test_distance_from_a_posterior_is_that_in_front_of_its_flow():
    """Of draws pushed through a flow, against the base draws themselves."""
    base = distrax.MultivariateNormalDiag(jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0]))
    shear = lambda z: (z[..., :1] * jnp.array([0.0, 2.0]), jnp.zeros_like(z) + 0.3)  # noqa: E731
    posterior = flow_posterior(base, [shear])
    u = np.float32(np.random.default_rng(0).normal([1, -2], [0.5, 3], (7, 2)))
    z, _ = posterior.bijector.forward_and_log_det(jnp.asarray(u))
    expected = np.sqrt((((u - [1, -2]) / [0.5, 3]) ** 2).mean(axis=1))
    np.testing.assert_allclose(base_distance(posterior, z), expected, rtol=1e-4)
