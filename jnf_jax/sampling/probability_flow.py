"""Draws of a diffusion along its probability-flow ODE, by a multistep solver.

In λ = log a/√v the ODE is linear but for the prediction x̂_0(x, t) = (x + √v ŝ)/a, and
DPM-Solver++(2M) (arXiv 2211.01095) extrapolates that from its last two values::

    x ← (√v'/√v) x − a' (e^(−h) − 1) ( 3/2 x̂_0 − 1/2 previous x̂_0 ),    h = λ' − λ

in equal steps of λ; primes are the values after the step, and the first step takes x̂_0
alone. One evaluation of ŝ a step, error of second order.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.noise_schedule import SMALLEST_TIME, NoiseSchedule


def probability_flow(
    start: Float[Array, "batch ..."],
    *,
    scaled_score: Callable[[jax.Array, jax.Array], jax.Array],
    schedule: NoiseSchedule,
    num_steps: int = 20,
) -> Float[Array, "batch ..."]:
    """From x_1 = ``start`` to x at t = 0.001, which is taken for a draw of x_0.

    Deterministic: all that is random is ``start``. At 20 steps and the exact score of
    a Gaussian the standard deviation is 1 % off (tested).

    Args:
        start: Draws of N(0, I), f32[B, *event].
        scaled_score: ŝ, (x_t f32[B, *event], t f32[B]) -> f32[B, *event].
        schedule: β.
        num_steps: Evaluations of ŝ, at least 1.
    """
    if num_steps < 1:
        raise ValueError(f"`num_steps` is {num_steps}, expected >= 1")
    first, last = schedule.log_ratio(jnp.array([1.0, SMALLEST_TIME]))
    h = (last - first) / num_steps
    times = schedule.time_of(first + h * jnp.arange(num_steps + 1))

    def step(carry, number):
        x, previous = carry
        (t, t_next) = times[number], times[number + 1]
        score = scaled_score(x, jnp.full(x.shape[:1], t))
        clean = (x + schedule.noise(t) * score) / schedule.signal(t)
        before = jnp.where(number == 0, clean, previous)
        shrink = schedule.noise(t_next) / schedule.noise(t)
        gain = -schedule.signal(t_next) * jnp.expm1(-h)
        return (shrink * x + gain * (1.5 * clean - 0.5 * before), clean), None

    (x, _), _ = jax.lax.scan(step, (start, start), jnp.arange(num_steps))
    return x
