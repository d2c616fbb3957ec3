"""Decoder outputs as distributions: what p(x_m | z) is.

Every distribution has the whole event of one datum as its event, so ``log_prob`` is
f32[B], in nats, summed over pixels or tokens.
"""

from collections.abc import Callable

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _independent(distribution: distrax.Distribution) -> distrax.Distribution:
    """All dimensions but the first one belong to the event."""
    return distrax.Independent(
        distribution, reinterpreted_batch_ndims=len(distribution.batch_shape) - 1
    )


def normal(output: Float[Array, "batch ..."], scale: float) -> distrax.Distribution:
    """−½((x − x̂)/s)² − log s − ½ log 2π, summed; x̂ = ``output``."""
    return _independent(distrax.Normal(output, jnp.full_like(output, scale)))


def laplace(output: Float[Array, "batch ..."], scale: float) -> distrax.Distribution:
    """−|x − x̂|/b − log 2b, summed; x̂ = ``output``."""
    return _independent(distrax.Laplace(output, jnp.full_like(output, scale)))


def bernoulli(output: Float[Array, "batch ..."], scale: float) -> distrax.Distribution:
    """x log π + (1 − x) log(1 − π), summed; ``output`` holds logits, no scale."""
    del scale
    return _independent(distrax.Bernoulli(logits=output, dtype=output.dtype))


def categorical(
    output: Float[Array, "batch ... classes"], scale: float
) -> distrax.Distribution:
    """log softmax(``output``) at each token, summed over tokens; no scale."""
    del scale
    return _independent(distrax.Categorical(logits=output))


LIKELIHOODS: dict[str, Callable[[jax.Array, float], distrax.Distribution]] = {
    "bernoulli": bernoulli,
    "categorical": categorical,
    "laplace": laplace,
    "normal": normal,
}
"""Name in a config -> ``(output, scale) -> distribution``."""
