"""Draws of one density made draws of another, from importance weights alone.

    w_k = pi(z_k) / q(z_k),    z_k ~ q independently, k = 1 ... K

Weights come as logarithms f32[K, B] for B data at once, up to a constant a datum; one
proposal a datum is chosen. Where q misses a part of pi, neither can put it back: the
tail of the weights tells (``weight_quality``), if q is only too narrow there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LogWeights = Float[Array, "proposals data"]
"""log w_k of each datum, nats; -inf is a proposal that cannot be."""

Chosen = Int[Array, " data"]
"""Which proposal each datum takes."""

KHAT_LIMIT = 0.7
"""Above it means of the weights converge too slowly to be believed."""

LEAST_PROPOSALS = 100
"""Fewer say too little of the tail of the weights for a Pareto shape."""


class WeightQuality(NamedTuple):
    """How far weights may be trusted, datum by datum.

    Attributes:
        khat: Shape k of the generalised Pareto law fitted to the largest weights (arXiv
            1507.02646): 1 / k moments are finite. NaN where there are fewer than
            ``LEAST_PROPOSALS``.
        ess: (sum w)^2 / sum w^2, in draws.
    """

    khat: Float[Array, " data"]
    ess: Float[Array, " data"]


def _finite(log_weights: LogWeights) -> LogWeights:
    return jnp.where(jnp.isfinite(log_weights), log_weights, -jnp.inf)


def resample(rng_key: jax.Array, log_weights: LogWeights) -> Chosen:
    """Proposal k with probability w_k / sum w: self-normalised importance resampling.

    Its bias falls as 1 / K.

    >>> log_weights = jnp.log(jnp.array([[0.0, 1.0], [3.0, 0.0]]))
    >>> resample(jax.random.key(0), log_weights).tolist()
    [1, 0]
    """
    return jax.random.categorical(rng_key, _finite(log_weights), axis=0)


def independence_metropolis(
    rng_key: jax.Array, log_weights: LogWeights
) -> tuple[Chosen, Float[Array, " data"]]:
    """Where a chain ends that starts at the first proposal and is offered each other.

    BlackJAX's independence Metropolis: k is accepted with probability min(1, w_k / w),
    w the weight of the state, which leaves pi invariant.

    Returns:
        The last state and the share of the K - 1 proposals that were accepted.
    """
    import blackjax

    kernel = blackjax.irmh.build_kernel()
    log_weights = _finite(log_weights)
    num, num_data = log_weights.shape

    def step(state, numbered):
        k, rng_keys = numbered

        def one(rng_key, state, own):  # the state of a datum is the number of a draw
            return kernel(rng_key, state, lambda j: own[j], lambda _: k)

        state, info = jax.vmap(one, (0, 0, 1))(rng_keys, state, log_weights)
        return state, info.is_accepted

    first = jnp.zeros(num_data, jnp.int32)
    start = jax.vmap(lambda j, own: blackjax.irmh.init(j, lambda j: own[j]), (0, 1))(
        first, log_weights
    )
    rng_keys = jax.random.split(rng_key, (num - 1, num_data))
    end, accepted = jax.lax.scan(step, start, (jnp.arange(1, num), rng_keys))
    return end.position, accepted.sum(0) / max(num - 1, 1)


def weight_quality(log_weights: LogWeights) -> WeightQuality:
    """Pareto shape and effective sample size of the weights of each datum."""
    from blackjax.diagnostics import psis_weights

    log_weights = _finite(log_weights)
    log_sum = jax.nn.logsumexp(log_weights, axis=0)
    ess = jnp.exp(2 * log_sum - jax.nn.logsumexp(2 * log_weights, axis=0))
    if len(log_weights) < LEAST_PROPOSALS:
        return WeightQuality(jnp.full_like(ess, jnp.nan), ess)
    _, khat = jax.vmap(psis_weights, in_axes=1)(log_weights)
    return WeightQuality(khat, ess)
