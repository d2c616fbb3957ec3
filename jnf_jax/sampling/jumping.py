"""Jumps to draws of a proposal, and a move of HMC after each, on one density.

::

    z'_k ~ q,  taken with probability min(1, w(z'_k) / w(z)),  w = π / q;
    then one transition of HMC on π

Both leave π invariant. Jumps cross from mode to mode where q has them all; moves find
their way to where q has too little mass, and need not wait for a jump.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.sampling.tempering import NUM_LEAPFROG, TARGET_ACCEPTANCE

LogDensity = Callable[[jax.Array], jax.Array]


def jump_and_move(
    rng_key: jax.Array,
    proposals: Float[Array, "proposals latent"],
    log_proposal: LogDensity,
    log_target: LogDensity,
) -> tuple[Float[Array, " latent"], Float[Array, ""], Float[Array, ""]]:
    """Where a chain ends that starts at the first proposal; of one datum.

    BlackJAX's independence Metropolis and HMC in turn. While the first half of the
    proposals is offered the step of the moves is adapted, by Robbins and Monro; their
    mass is of the variances of these. After that neither changes.

    Args:
        rng_key: Typed key.
        proposals: Independent draws of q.
        log_proposal: log q, z f32[D] -> f32[], nats; up to a constant.
        log_target: log π likewise.

    Returns:
        The last state; the share of the K - 1 jumps that were accepted; the mean
        acceptance of the moves after adaptation.

    >>> z = 2 * jax.random.normal(jax.random.key(0), (500, 40, 1))
    >>> normal = lambda scale: lambda z: -0.5 * jnp.sum((z / scale) ** 2)
    >>> rng_keys = jax.random.split(jax.random.key(1), 500)
    >>> end, *_ = jax.vmap(lambda *a: jump_and_move(*a, normal(2.0), normal(1.0)))(
    ...     rng_keys, z)
    >>> bool(abs(jnp.square(end).mean() - 1) < 0.3)
    True
    """
    import blackjax
    from blackjax.mcmc.random_walk import RWState

    jump, move = blackjax.irmh.build_kernel(), blackjax.hmc.build_kernel()
    num, size = proposals.shape
    num_adapting = num // 2
    mass = jnp.maximum(proposals[: max(num_adapting, 1)].var(0), 1e-12)

    def guarded(log_density: LogDensity) -> LogDensity:
        def finite(z: jax.Array) -> jax.Array:
            value = log_density(z)
            return jnp.where(jnp.isfinite(value), value, -jnp.inf)

        return finite

    log_target = guarded(log_target)
    log_weight = guarded(lambda z: log_target(z) - log_proposal(z))

    def step(carry, of):
        (z, log_density, step_size), (number, proposal, rng_key) = carry, of
        jump_key, move_key = jax.random.split(rng_key)
        state = RWState(z, guarded(lambda z: log_density - log_proposal(z))(z))
        state, jumped = jump(jump_key, state, log_weight, lambda _: proposal)
        state = blackjax.hmc.init(state.position, log_target)
        how = (log_target, step_size, mass, NUM_LEAPFROG)
        state, moved = move(move_key, state, *how)
        acceptance = jnp.nan_to_num(moved.acceptance_rate)
        change = (acceptance - TARGET_ACCEPTANCE) / jnp.sqrt(number)
        step_size *= jnp.where(number < num_adapting, jnp.exp(change), 1.0)
        carry = state.position, state.logdensity, step_size
        return carry, (jumped.is_accepted, acceptance)

    # As in `tempered_smc`, whose mass is of the same kind.
    first = jnp.asarray(0.8 * size**-0.25, proposals.dtype)
    numbers = jnp.arange(1, num)
    (end, *_), (jumped, acceptance) = jax.lax.scan(
        step,
        (proposals[0], log_target(proposals[0]), first),
        (numbers, proposals[1:], jax.random.split(rng_key, num - 1)),
    )
    is_settled = numbers >= num_adapting
    return (
        end,
        jumped.sum() / max(num - 1, 1),
        jnp.sum(acceptance * is_settled) / jnp.maximum(is_settled.sum(), 1),
    )
