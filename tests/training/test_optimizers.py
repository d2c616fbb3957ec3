"""Settings and schedules against their definitions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax import options
from jnf_jax.stage import Group
from jnf_jax.training.optimizers import TrainSettings, make_optimizer, make_schedule


def settings(**changes):
    return dataclasses.replace(TrainSettings(num_steps=100, batch_size=4), **changes)


def run(optimizer, losses, gradient=1.0):
    """Updates of one scalar parameter with a constant gradient."""
    params = {"w": jnp.zeros(())}
    state = optimizer.init(params)
    updates = []
    for loss in losses:
        update, state = optimizer.update(
            {"w": jnp.full((), gradient)}, state, params, value=jnp.float32(loss)
        )
        updates.append(float(update["w"]))
    return np.array(updates)


def test_cosine_with_warmup_starts_at_zero_peaks_and_ends_at_zero():
    schedule = make_schedule(
        settings(schedule="cosine", learning_rate=0.5, warmup_steps=20)
    )
    np.testing.assert_allclose(schedule(0), 0.0)
    np.testing.assert_allclose(schedule(10), 0.25)
    np.testing.assert_allclose(schedule(20), 0.5)
    np.testing.assert_allclose(schedule(60), 0.25, rtol=1e-6)
    np.testing.assert_allclose(schedule(100), 0.0, atol=1e-8)


@pytest.mark.parametrize("name", ["adam", "amsgrad", "muon", "rmsprop"])
def test_each_optimizer_descends_a_parabola(name):
    optimizer = make_optimizer(settings(optimizer=name, learning_rate=0.1), 5)
    params = {"w": jnp.full((), 3.0)}
    state = optimizer.init(params)
    for _ in range(100):
        updates, state = optimizer.update(
            {"w": 2 * params["w"]}, state, params, value=params["w"] ** 2
        )
        params = optax.apply_updates(params, updates)
    assert abs(float(params["w"])) < 0.2


@pytest.mark.parametrize("by_inputs", [False, True])
def test_weight_decay_is_the_gradient_of_a_penalty_on_kernels(by_inputs):
    params = {"kernel": jnp.array([[[2.0, -1.0]] * 3] * 2), "bias": jnp.array([3.0])}
    kernels = jnp.array([[0.1, 0.2], [-0.7, 0.4]])[:, None, None] + jnp.zeros((2, 3, 2))
    biases = jnp.array([[-0.3], [1]])
    penalty = 0.25 * params["kernel"] * (6 if by_inputs else 1)
    updates = []
    for decay, own in ((0.25, 0.0), (0.0, penalty)):
        changes = {"learning_rate": 0.1, "gradient_clip": 0.4, "weight_decay": decay}
        changes["decay_by_inputs"] = by_inputs
        optimizer = make_optimizer(settings(**changes), 5)
        state = optimizer.init(params)
        for kernel, bias in zip(kernels, biases, strict=True):
            gradient = {"kernel": kernel + own, "bias": bias}
            update, state = optimizer.update(gradient, state, params)
        updates.append(update)
    np.testing.assert_allclose(updates[0]["kernel"], updates[1]["kernel"], rtol=1e-5)
    np.testing.assert_allclose(updates[0]["bias"], updates[1]["bias"], rtol=1e-5)


def test_adam_is_the_one_of_the_paper():
    # Constant gradient: both corrected moments are exact, so each step is -lr·sign.
    updates = run(make_optimizer(settings(learning_rate=0.25), 5), [1.0] * 4, -2.0)
    np.testing.assert_allclose(updates, 0.25, rtol=1e-4)


def test_muon_turns_a_kernel_s_gradient_into_its_polar_factor():
    """G = U S Vᵀ becomes U Vᵀ, as long as Adam's steps; a bias is NAdam's."""
    rng = np.random.default_rng(0)
    kernel = np.float32(rng.standard_normal((2, 2, 3, 8)))
    gradient = {"kernel": jnp.asarray(kernel), "bias": jnp.full(8, 2.0)}
    params = jax.tree.map(jnp.zeros_like, gradient)
    optimizer = make_optimizer(settings(optimizer="muon", learning_rate=0.5), 5)
    state = optimizer.init(params)
    updates, _ = optimizer.update(gradient, state, params, value=jnp.zeros(()))
    np.testing.assert_allclose(updates["bias"], -0.5 * (1 + 0.9 / 1.9), rtol=1e-4)
    u, _, v = np.linalg.svd(kernel.reshape(12, 8), full_matrices=False)
    found = -np.asarray(updates["kernel"]).reshape(12, 8) / (0.5 * 0.2 * np.sqrt(12))
    np.testing.assert_allclose(
        np.linalg.norm(found), np.sqrt(8), rtol=0.3
    )  # five iterations leave singular values between 0.7 and 1.2
    along = np.diag(u.T @ found @ v.T)
    assert along.min() > 0.6 and along.max() < 1.3
    np.testing.assert_allclose(u.T @ found @ v.T, np.diag(along), atol=1e-4)


def test_a_group_may_learn_at_its_own_rate():
    optimizer = make_optimizer(settings(learning_rate=0.5), 5, {"prior": Group(0.1)})
    params = {"prior": {"w": jnp.zeros(2)}, "encoder": jnp.zeros(3)}
    gradient = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(
        gradient, optimizer.init(params), params, value=jnp.zeros(())
    )
    np.testing.assert_allclose(updates["prior"]["w"], -0.05, rtol=1e-5)
    np.testing.assert_allclose(updates["encoder"], -0.5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`groups` names \['prior'\], .* among \['w'"):
        run(optimizer, [0.0])


def test_a_group_may_start_late():
    optimizer = make_optimizer(settings(learning_rate=0.5), 5, {"prior": Group(1, 2)})
    params = {"prior": {"w": jnp.zeros(2)}, "encoder": jnp.zeros(3)}
    gradient = jax.tree.map(jnp.ones_like, params)
    state = optimizer.init(params)
    for step in range(4):
        updates, state = optimizer.update(gradient, state, params, value=jnp.zeros(()))
        np.testing.assert_allclose(updates["encoder"], -0.5, rtol=1e-4)
        np.testing.assert_allclose(
            updates["prior"]["w"], 0.0 if step < 2 else -0.5, rtol=1e-4
        )


def test_a_late_start_is_a_start():
    """Zero gradients before it leave no trace in the moments: steps are -lr·sign."""
    optimizer = make_optimizer(settings(learning_rate=0.5), 5, {"prior": Group(1, 200)})
    params = {"prior": jnp.zeros(2), "encoder": jnp.zeros(3)}
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for step in range(203):
        gradient = {"prior": jnp.full(2, float(step >= 200)), "encoder": jnp.ones(3)}
        updates, state = update(gradient, state, params, value=jnp.zeros(()))
        expected = -0.5 if step >= 200 else 0.0
        np.testing.assert_allclose(updates["prior"], expected, rtol=1e-4)


def test_clipping_bounds_the_gradient_before_the_moments():
    # The first Adam step has the size lr whatever the gradient, so look at eps: with
    # |g| clipped to 1e-8 = eps the step is lr / 2.
    clipped = make_optimizer(settings(learning_rate=1.0, gradient_clip=1e-8), 5)
    np.testing.assert_allclose(run(clipped, [0.0], gradient=5.0), [-0.5], rtol=1e-3)


def test_a_group_apart_is_clipped_apart():
    """Neither norm enters the other's clip; nor does a group's before it starts.

    As above |g| clipped to 1e-8 makes a step of lr / 2; shared, g would be far smaller.
    """
    optimizer = make_optimizer(
        settings(learning_rate=1.0, gradient_clip=1e-8), 5, {"prior": Group(1, 1)}
    )
    params = {"prior": jnp.zeros(()), "encoder": jnp.zeros(())}
    state = optimizer.init(params)
    for step, norms in enumerate([(1e3, 1.0), (1.0, 1e3)]):
        gradient = dict(zip(params, map(jnp.float32, norms), strict=True))
        updates, state = optimizer.update(gradient, state, params, value=jnp.zeros(()))
        np.testing.assert_allclose(updates["encoder"], -0.5, rtol=1e-3)
        np.testing.assert_allclose(updates["prior"], -0.5 * step, rtol=1e-3)


def test_plateau_multiplies_after_patience_epochs_of_the_mean_loss():
    optimizer = make_optimizer(
        settings(
            schedule="plateau",
            learning_rate=1.0,
            plateau_patience_epochs=2,
            plateau_factor=0.5,
        ),
        steps_per_epoch=2,
    )
    # Epoch means: 3, 2 (better), 2 (not), 2 (not: reduced at its end), 2.
    losses = [4, 2, 3, 1, 0, 4, 1, 3, 2, 2]
    updates = run(optimizer, losses)
    np.testing.assert_allclose(updates, [-1.0] * 7 + [-0.5] * 3, rtol=1e-4)


def test_every_fault_is_reported_at_once_and_named():
    bad = settings(
        num_steps=0,
        learning_rate=float("nan"),
        optimizer="lbfgs",
        b2=1.0,
        select="first",
        warmup_steps=-1,
    )
    assert options.faults(bad, "joint") == [
        "`joint.num_steps` is 0, expected >= 1",
        "`joint.learning_rate` is nan, expected a finite number > 0",
        "`joint.warmup_steps` is -1, expected >= 0",
        "`joint.optimizer` is 'lbfgs', expected one of 'adam', 'amsgrad', 'muon', "
        "'rmsprop'",
        "`joint.b2` is 1.0, expected >= 0 and < 1",
        "`joint.select` is 'first', expected one of 'best', 'last'",
    ]
    with pytest.raises(ValueError, match="`settings.num_steps` is 0, expected >= 1"):
        make_optimizer(bad, 1)
    assert options.faults(settings()) == []
    (fault,) = options.faults(settings(warmup_steps=101), "joint")
    assert fault == "`joint.warmup_steps` is 101, expected <= `num_steps` = 100"
