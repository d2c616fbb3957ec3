"""Draws of a proposal carried to a target, by BlackJAX's tempered SMC.

::

    π_λ(z) ∝ q(z)^(1−λ) π(z)^λ,    λ from 0 to 1

K particles are resampled by their weights and moved by HMC on π_λ, again and again; λ
rises as far as half of them stay effective. Weights alone need proposals that cover π;
moves reach what these miss, as long as no gap lies between.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

NUM_MOVES, NUM_LEAPFROG = 2, 4
"""HMC transitions at each λ, and the steps of each."""

SHARE_EFFECTIVE = 0.5
"""Of the particles, after λ has risen."""

TARGET_ACCEPTANCE = 0.7
"""Of the moves: their step size follows, from one λ to the next."""

LEAST_LOG_RATIO = -1e6
"""Nats that stand for a density of zero, so that λ can be solved for."""

LogDensity = Callable[[jax.Array], jax.Array]


class Tempered(NamedTuple):
    """K particles and what is left to weigh.

    Attributes:
        particles: f32[K, D].
        log_weights: Of π at the particles, nats up to a constant; from the last rise of
            λ, and from λ to 1 where the steps ended before.
        temperature: λ at the end; below 1 the steps were too few.
        acceptance: Of the moves, their mean.
    """

    particles: Float[Array, "particles latent"]
    log_weights: Float[Array, " particles"]
    temperature: Float[Array, ""]
    acceptance: Float[Array, ""]


def tempered_smc(
    rng_key: jax.Array,
    particles: Float[Array, "particles latent"],
    log_proposal: LogDensity,
    log_target: LogDensity,
    *,
    num_steps: int,
) -> Tempered:
    """Carries draws of q to π in ``num_steps`` steps; of one datum, to be vmapped.

    Once λ is 1, the steps that are left move the particles on π. The moves' mass is of
    the particles' variances.

    Args:
        rng_key: Typed key.
        particles: Independent draws of q.
        log_proposal: log q, z f32[D] -> f32[], nats; up to a constant.
        log_target: log π likewise.
        num_steps: At least 1.

    >>> z = 0.5 * jax.random.normal(jax.random.key(0), (500, 1))
    >>> normal = lambda scale: lambda z: -0.5 * jnp.sum((z / scale) ** 2)
    >>> both = normal(0.5), normal(2.0)
    >>> found = tempered_smc(jax.random.key(1), z, *both, num_steps=8)
    >>> weights = jax.nn.softmax(found.log_weights)
    >>> bool(abs(weights @ found.particles[:, 0] ** 2 - 4) < 1)
    True
    """
    import blackjax
    from blackjax.smc import adaptive_tempered, resampling

    def log_ratio(z: jax.Array) -> jax.Array:
        ratio = log_target(z) - log_proposal(z)
        return jnp.where(jnp.isfinite(ratio), ratio, LEAST_LOG_RATIO)

    kernel = adaptive_tempered.build_kernel(
        log_proposal,
        log_ratio,
        functools.partial(
            blackjax.hmc.build_kernel(), num_integration_steps=NUM_LEAPFROG
        ),
        blackjax.hmc.init,
        resampling.systematic,
        target_ess=SHARE_EFFECTIVE,
    )

    def step(carry, rng_key):
        state, step_size = carry
        mean = state.weights @ state.particles
        variance = state.weights @ jnp.square(state.particles - mean)
        # One of each, for all particles.
        how = {
            "step_size": step_size[None],
            "inverse_mass_matrix": jnp.maximum(variance, 1e-12)[None],
        }
        state, info = kernel(rng_key, state, NUM_MOVES, how)
        acceptance = info.update_info.acceptance_rate.mean()
        step_size *= jnp.exp(acceptance - TARGET_ACCEPTANCE)
        return (state, step_size), acceptance

    start = adaptive_tempered.init(particles)._replace(tempering_param=jnp.zeros(()))
    # Of standard normals in D dimensions such steps are accepted, most of them.
    first = jnp.asarray(0.8 * particles.shape[-1] ** -0.25, particles.dtype)
    (end, _), acceptance = jax.lax.scan(
        step, (start, first), jax.random.split(rng_key, num_steps)
    )
    left = (1 - end.tempering_param) * jax.vmap(log_ratio)(end.particles)
    return Tempered(
        end.particles,
        jnp.log(end.weights) + left,
        end.tempering_param,
        acceptance.mean(),
    )
