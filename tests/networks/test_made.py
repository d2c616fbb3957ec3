import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.networks.made import Made, made_stack

# name -> (D, hidden sizes, context size)
CASES = {
    "plain": (5, (12, 12), 0),
    "context": (5, (12, 12, 12), 3),
    "narrow": (9, (4,), 0),
    "narrow_context": (9, (4, 3), 2),
    "one_coordinate": (1, (4,), 0),
    "one_coordinate_context": (1, (4, 4), 2),
}


def draws(shape):
    values = np.random.default_rng(1).standard_normal(shape)
    return jnp.asarray(values, jnp.float32)


def build(name, reverse=False):
    event_size, hidden_sizes, context_size = CASES[name]
    made = Made(event_size, hidden_sizes, reverse=reverse)
    context = jnp.linspace(-1.0, 1.5, context_size) if context_size else None
    arguments = jax.random.key(0), jnp.zeros(event_size), context
    params = random_like(jax.eval_shape(made.init, *arguments), seed=7)
    return made, params, context


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_jacobian_is_strictly_triangular_and_complete(name, reverse):
    made, params, context = build(name, reverse)
    event_size = made.event_size
    z = draws((20, event_size))

    def outputs(z):
        return jnp.stack(made.apply(params, z, context))  # [2, D]

    jacobian = np.abs(jax.jit(jax.vmap(jax.jacfwd(outputs)))(z)).max(0)
    earlier = np.tril(np.ones((event_size, event_size), bool), -1)  # [output, input]
    if reverse:
        earlier = earlier[::-1, ::-1]
    for of_output in jacobian:  # shift, raw log-scale
        np.testing.assert_array_equal(of_output[~earlier], 0.0)
        assert (of_output[earlier] > 0).all()  # the direct edge makes all reachable


@pytest.mark.parametrize(
    ("name", "hidden_only"),
    # Narrow layers have one unit of degree 0, inactive for some parameters.
    [("context", True), ("narrow_context", False), ("one_coordinate_context", True)],
)
def test_context_reaches_every_output(name, hidden_only):
    made, params, context = build(name)
    if hidden_only:  # not only through the direct edge
        params = {"params": dict(params["params"])}
        direct = params["params"]["direct_context"]
        params["params"]["direct_context"] = jax.tree.map(jnp.zeros_like, direct)
    # Many contexts, since one may find the units of degree 0 inactive.
    contexts, z = draws((40, context.size)), draws((40, made.event_size))

    def outputs(context, z):
        return jnp.stack(made.apply(params, z, context))

    jacobian = jax.jit(jax.vmap(jax.jacfwd(outputs)))(contexts, z)
    assert (np.abs(jacobian).max((0, -1)) > 0).all()


@pytest.mark.parametrize("name", ["context", "narrow", "one_coordinate"])
def test_zero_at_initialisation_yet_trainable(name):
    made, shapes, context = build(name)
    z = jnp.linspace(-2.0, 3.0, made.event_size)

    def loss(params):
        shift, raw = made.apply(params, z, context)
        return ((shift - 1) ** 2 + (raw - 1) ** 2).sum(), (shift, raw)

    @jax.jit
    def start(rng_key):
        params = made.init(rng_key, z, context)
        return params, *jax.grad(loss, has_aux=True)(params)

    params, gradients, (shift, raw) = start(jax.random.key(0))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    np.testing.assert_array_equal(shift, 0.0)
    np.testing.assert_array_equal(raw, 0.0)
    gradients = gradients["params"]
    assert (gradients["output"]["bias"] != 0).all()
    if made.event_size > 1:
        assert (gradients["output"]["kernel"] != 0).any()
        assert (gradients["direct"]["kernel"] != 0).any()
    if context is not None:
        assert (gradients["direct_context"]["kernel"] != 0).all()


def test_many_draws_may_share_one_context():
    made, params, _ = build("context")
    z, context = draws((6, 4, 5)), draws((4, 3))
    shared = made.apply(params, z, context)
    apart = made.apply(params, z, jnp.broadcast_to(context, (6, 4, 3)))
    np.testing.assert_allclose(shared[0], apart[0], rtol=1e-5, atol=1e-6)


def test_stack_alternates_the_order():
    stack = made_stack(3, [8, 8], 3)
    assert [made.reverse for made in stack] == [False, True, False]
    assert made_stack(3, [8], 0) == ()
    assert hash(stack) == hash(made_stack(3, (8, 8), 3))  # static under jit
    with pytest.raises(ValueError, match="num_blocks: got -1"):
        made_stack(3, [8], -1)


def test_wrong_event_size():
    made, params, context = build("plain")
    with pytest.raises(ValueError, match=r"z: got shape \(4,\), expected \[..., 5\]"):
        made.apply(params, jnp.zeros(4), context)
