"""log Z of a tilted density, by annealed importance sampling (Neal, 2001)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.sampling.langevin import build_kernel, init


class LogNormaliser(NamedTuple):
    """An estimate of log Z.

    Attributes:
        value: Nats; too low on average, by about ½ standard_error².
        standard_error: Nats, by the delta method; to be believed where ``ess`` is
            large.
        ess: (Σ w)² / Σ w² of the chains' weights.
    """

    value: Float[Array, ""]
    standard_error: Float[Array, ""]
    ess: Float[Array, ""]


def log_normaliser(
    rng_key: jax.Array,
    log_tilt: Callable[[jax.Array], jax.Array],
    reference: Callable[[jax.Array], jax.Array],
    start: Float[Array, "chains latent"],
    *,
    num_temperatures: int,
    step_size: float,
) -> LogNormaliser:
    """log Z = log ∫ exp(f(z)) p_0(z) dz, with one MALA step at each temperature.

    ::

        z_0 ~ p_0,   z_i = a MALA step from z_{i−1} on exp(f i/T) p_0
        log w = (1/T) Σ_{i<T} f(z_i)
        Ẑ = (1/N) Σ_n w_n                 (unbiased for Z)

    Args:
        rng_key: Typed key.
        log_tilt: f, z f32[D] -> f32[], nats.
        reference: log p_0, z f32[D] -> f32[], nats, normalised.
        start: N draws of p_0, f32[N, D].
        num_temperatures: T.
        step_size: ε of MALA.

    Raises:
        ValueError: If there are no temperatures or fewer than two chains.

    >>> z = jax.random.normal(jax.random.key(0), (1_000, 1))
    >>> normal = lambda z: -0.5 * jnp.sum(z**2 + jnp.log(2 * jnp.pi))
    >>> tilt = lambda z: jnp.sum(z)  # Z = exp(1/2)
    >>> found = log_normaliser(
    ...     jax.random.key(1), tilt, normal, z, num_temperatures=50, step_size=0.3
    ... )
    >>> bool(abs(found.value - 0.5) < 5 * found.standard_error)
    True
    """
    if num_temperatures < 1 or len(start) < 2:
        raise ValueError(
            f"`num_temperatures` is {num_temperatures} and `start` has {len(start)} "
            "chains, expected at least 1 and 2"
        )
    kernel = build_kernel("mala")

    def one_chain(rng_key: jax.Array, position: jax.Array) -> jax.Array:
        def anneal(carry, number):
            position, log_weight = carry
            log_weight += log_tilt(position) / num_temperatures
            inverse = (number + 1) / num_temperatures

            def log_density(z: jax.Array) -> jax.Array:
                return inverse * log_tilt(z) + reference(z)

            key, start = (
                jax.random.fold_in(rng_key, number),
                init(position, log_density),
            )
            state, _ = kernel(key, start, log_density, step_size)
            return (state.position, log_weight), None

        numbers = jnp.arange(num_temperatures)
        return jax.lax.scan(anneal, (position, jnp.zeros(())), numbers)[0][1]

    log_weights = jax.vmap(one_chain)(jax.random.split(rng_key, len(start)), start)
    log_sum = jax.nn.logsumexp(log_weights)
    num, ess = len(start), jnp.exp(2 * log_sum - jax.nn.logsumexp(2 * log_weights))
    # Relative variance of the mean weight: (N/ESS − 1) / N, the sample's own.
    error = jnp.sqrt(jnp.maximum(num / ess - 1, 0) / num)
    return LogNormaliser(log_sum - jnp.log(num), error, ess)
