"""Moments of draws a dimension, and how far those of two samples lie apart."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Moments(NamedTuple):
    """Moments of each dimension; ``kurtosis`` is the excess over a normal's,
    E[(z − μ)⁴]/σ⁴ − 3: 0 for a normal, 3 for a Laplace."""

    mean: Float[Array, " latent"]
    variance: Float[Array, " latent"]
    kurtosis: Float[Array, " latent"]


class MomentGap(NamedTuple):
    """Root mean squares over dimensions.

    Attributes:
        mean: The difference of means, in standard deviations of the reference; two
            samples of n draws each of one law have √(2/n).
        log_variance: The difference of log variances, so that 0.1 is a tenth more or
            less; two samples of one normal have √(4/n).
    """

    mean: Float[Array, ""]
    log_variance: Float[Array, ""]


def moments(
    z: Float[Array, "draws latent"], weights: Float[Array, " draws"] | None = None
) -> Moments:
    """Sample moments of z f32[N, D]; ``weights`` sum to 1, and are 1/N if None."""
    mean = jnp.average(z, axis=0, weights=weights)
    squares = jnp.square(z - mean)
    variance = jnp.average(squares, axis=0, weights=weights)
    fourth = jnp.average(jnp.square(squares), axis=0, weights=weights)
    return Moments(mean, variance, fourth / variance**2 - 3)


def moment_gap(found: Moments, reference: Moments) -> MomentGap:
    """How far ``found`` is from ``reference``.

    >>> gap = moment_gap(moments(jnp.array([[3.0], [5.0]])),
    ...                  moments(jnp.array([[-1.0], [1.0]])))
    >>> float(gap.mean), float(gap.log_variance)
    (4.0, 0.0)
    """
    means = (found.mean - reference.mean) / jnp.sqrt(reference.variance)
    logs = jnp.log(found.variance / reference.variance)
    return MomentGap(
        jnp.sqrt(jnp.mean(jnp.square(means))), jnp.sqrt(jnp.mean(jnp.square(logs)))
    )
