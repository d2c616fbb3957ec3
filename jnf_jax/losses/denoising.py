"""Learning the score of a diffusion by denoising (VP-SDE, arXiv 2011.13456)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jnf_jax.noise_schedule import SMALLEST_TIME, NoiseSchedule
from jnf_jax.types import Params

ScaledScore = Callable[[Params, jax.Array, jax.Array], jax.Array]
"""ŝ: (params, x_t f32[B, *event], t f32[B]) -> f32[B, *event]."""


def denoising_loss(
    params: Params,
    rng_key: jax.Array,
    x: Float[Array, "batch ..."],
    *,
    scaled_score: ScaledScore,
    schedule: NoiseSchedule,
    weight: Callable[[jax.Array], jax.Array] = jnp.ones_like,
    where: Bool[Array, "batch ..."] | None = None,
) -> Float[Array, " batch"]:
    """w(t) ‖ ŝ(x_t, t) + ξ ‖² at one t and one ξ a datum; minimised, no unit.

    ::

        loss_i = w(t_i) ‖ ŝ(a(t_i) x_i + √v(t_i) ξ_i, t_i) + ξ_i ‖²,    ξ_i ~ N(0, I)
        t_i = 0.001 + 0.999 ((u + i/B) mod 1),                            u ~ U(0, 1)

    Each t_i is uniform, and together they cover (0.001, 1) evenly: the mean has less
    variance than with independent times (arXiv 2107.00630). The least possible loss
    is not 0 but E_t w tr Cov(ξ | x_t).

    Args:
        params: Parameters of ŝ.
        rng_key: Typed key.
        x: Data x_0, f32[B, *event], of about unit scale.
        scaled_score: ŝ.
        schedule: β.
        weight: w, f32[B] -> f32[B], 1 by default. 1/a² makes it the squared error of
            the velocity a ξ − √v x_0 (arXiv 2202.00512), in which noisy times count.
        where: Entries that the sum of squares is over; None: all.

    >>> blind = lambda params, x_t, t: jnp.zeros_like(x_t)
    >>> settings = dict(scaled_score=blind, schedule=NoiseSchedule())
    >>> loss = denoising_loss({}, jax.random.key(0), jnp.ones((4, 8)), **settings)
    >>> loss.shape  # each is ‖ξ‖², 8 on average
    (4,)
    """
    time_key, noise_key = jax.random.split(rng_key)
    batch = x.shape[0]
    turn = (jax.random.uniform(time_key) + jnp.arange(batch) / batch) % 1.0
    t = SMALLEST_TIME + (1.0 - SMALLEST_TIME) * turn
    xi = jax.random.normal(noise_key, x.shape)
    by_datum = t.reshape(-1, *(1,) * (x.ndim - 1))
    noisy = schedule.signal(by_datum) * x + schedule.noise(by_datum) * xi
    error = scaled_score(params, noisy, t) + xi
    axes = tuple(range(1, x.ndim))
    return weight(t) * jnp.sum(jnp.square(error), axis=axes, where=where)
