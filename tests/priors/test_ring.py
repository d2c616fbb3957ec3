"""A ring of eight Gaussians, learnt as a tilted normal by contrast alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.sampling import LangevinSettings, check_run, run_langevin

ANGLES = 2 * np.pi * np.arange(8) / 8
CENTRES = 2.0 * jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], axis=-1)
SD = 0.4
NUM_STEPS, BATCH_SIZE = 2_000, 256


def log_truth(z):
    """Up to a constant, nats."""
    squares = jnp.sum((z[..., None, :] - CENTRES) ** 2, axis=-1)
    return jax.nn.logsumexp(-0.5 * squares / SD**2, axis=-1)


def draw_truth(rng_key, num):
    mode_key, noise_key = jax.random.split(rng_key)
    mode = jax.random.randint(mode_key, (num,), 0, 8)
    return CENTRES[mode] + SD * jax.random.normal(noise_key, (num, 2))


@pytest.mark.slow
@pytest.mark.usefixtures("fully_optimised")
def test_eight_modes_with_the_right_weights():
    family = EnergyFamily(
        reference_scale=1.5,
        hidden_sizes=(64, 64),
        activation="gelu",
        kernel="mala",
        num_steps=60,
        step_size=0.03,
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, NUM_STEPS))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, rng_key):
        chain_key, data_key = jax.random.split(rng_key)
        positives = draw_truth(data_key, BATCH_SIZE)
        gradient = jax.grad(lambda p: family.loss(p, chain_key, positives)[0])
        updates, state = optimizer.update(gradient(params), state)
        return optax.apply_updates(params, updates), state

    params = family.init(jax.random.key(0), 2, {})
    state = optimizer.init(params)
    for number in range(NUM_STEPS):
        params, state = step(
            params, state, jax.random.fold_in(jax.random.key(1), number)
        )
    prior = family.bind(params, 2)

    points = jnp.concatenate(
        [
            draw_truth(jax.random.key(2), 2_000),
            prior.reference.sample(jax.random.key(3), 2_000),
        ]
    )
    found = np.corrcoef(log_truth(points), prior.log_density(points))[0, 1]
    start = prior.reference.sample(jax.random.key(4), 50_000)
    settings = LangevinSettings("mala", num_steps=500, step_size=0.05)
    z, run = jax.jit(run_langevin, static_argnums=(1, 3))(
        jax.random.key(5), prior.log_density, start, settings
    )
    check_run(run, settings)
    nearest = jnp.argmin(jnp.sum((z[:, None] - CENTRES) ** 2, axis=-1), axis=-1)
    weights = np.bincount(np.asarray(nearest), minlength=8) / len(z)
    print(f"correlation {found:.3f}, weights {weights.round(3)}")
    assert found >= 0.95
    assert (np.abs(weights - 0.125) <= 0.02).all()
