"""Means of importance weights, chunk by chunk, in logarithms."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

LogWeights = Callable[[jax.Array], dict[str, jax.Array]]
"""Key of a chunk -> {name: log w, f32[k, B]}."""


class LogMean(NamedTuple):
    """log (1/K) Σ_k w_k and (Σ w)² / Σ w² of each datum, f32[B] each."""

    value: Float[Array, " batch"]
    ess: Float[Array, " batch"]


def log_means(
    log_weights: LogWeights, rng_key: jax.Array, num_samples: int, num_at_once: int
) -> dict[str, LogMean]:
    """log (1/K) Σ_k w_k and its effective sample size, by name, chunk by chunk.

    ``log_weights`` gives ``num_at_once`` log-weights a datum, which bounds the memory.
    Chunk i gets ``fold_in(rng_key, i)``; the surplus of the last one does not count.

    Raises:
        ValueError: If K = ``num_samples`` is less than 1.
    """
    if num_samples < 1:
        raise ValueError(f"`num_samples` is {num_samples}, expected >= 1")
    sums = None
    for chunk, done in enumerate(range(0, num_samples, num_at_once)):
        found = log_weights(jax.random.fold_in(rng_key, chunk))
        sums = _add(sums, found, num_samples - done)
    return {
        name: LogMean(first - np.log(num_samples), jnp.exp(2 * first - second))
        for name, (first, second) in sums.items()
    }


@jax.jit
def _add(sums, log_weights: dict[str, jax.Array], num_left: int | jax.Array):
    """log Σ w and log Σ w² with those of a chunk, of which ``num_left`` count."""

    def of_chunk(log_w: jax.Array) -> tuple[jax.Array, jax.Array]:
        counts = jnp.arange(len(log_w))[:, None] < num_left
        log_w = jnp.where(counts, log_w, -jnp.inf)
        return jax.nn.logsumexp(log_w, axis=0), jax.nn.logsumexp(2 * log_w, axis=0)

    new = {name: of_chunk(log_w) for name, log_w in log_weights.items()}
    return new if sums is None else jax.tree.map(jnp.logaddexp, sums, new)
