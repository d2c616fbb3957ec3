"""One posterior from unimodal ones: a product, a mixture, a mixture of products.

::

    product               q(z|x_S) ∝ Π_{m∈S} q_m(z|x_m),    times N(z; 0, I) where asked
    mixture               q(z|x_S) = (1/|S|) Σ_{m∈S} q_m(z|x_m)
    mixture of products   q(z|x_S) = (1/J) Σ_T q_T(z|x_T),    over J subsets T of S

Experts are stacked along the first axis, with a mask of those that a row has. A hidden
one may hold anything, NaN too: it changes neither a value nor a gradient.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jnf_jax.types import GaussianCode, Mask


class Experts(NamedTuple):
    """Means and scales of J posteriors, and which of them a row has.

    ``mean`` and ``scale`` are f32[J, *B, D], ``present`` is bool[J, *B]. Hidden ones
    have mean 0 and scale 1, as ``experts_of`` makes them.
    """

    mean: Float[Array, "experts *batch latent"]
    scale: Float[Array, "experts *batch latent"]
    present: Bool[Array, " experts *batch"]


def experts_of(codes: Sequence[GaussianCode], present: jax.Array) -> Experts:
    """Stacks codes f32[*B, D]; ``present`` is bool[J, *B]."""
    shown = present[..., None]
    mean = jnp.stack([code.mean for code in codes])
    scale = jnp.stack([code.scale for code in codes])
    return Experts(jnp.where(shown, mean, 0.0), jnp.where(shown, scale, 1.0), present)


def stack(codes: Mapping[str, GaussianCode], present: Mask) -> Experts:
    """The experts of the modalities, in sorted order.

    Raises:
        ValueError: ``codes`` and ``present`` name different modalities.
    """
    if sorted(codes) != sorted(present):
        raise ValueError(
            f"`present` names {sorted(present)}, expected {sorted(codes)} as the "
            "experts are"
        )
    names = sorted(codes)
    return experts_of([codes[m] for m in names], jnp.stack([present[m] for m in names]))


def product(experts: Experts, *, with_prior: bool = False) -> GaussianCode:
    """The normalised product of the normal experts that a row has.

    In logarithms precisions are a softmax, which neither overflows nor divides by
    zero, whatever the scales::

        log Λ = logsumexp_j(−log σ_j²),    μ = Σ_j softmax_j(−log σ_j²) μ_j

    Args:
        experts: N(μ_j, diag σ_j²).
        with_prior: Whether N(0, I) is one more factor. A row without any expert has it
            in any case: what nothing is known of is as the prior.

    Returns:
        Mean and scale Λ^(−1/2), f32[*B, D].
    """
    latent = experts.mean.shape[1:]
    alone = ~jnp.any(experts.present, axis=0, keepdims=True)
    present = jnp.concatenate([experts.present, alone | with_prior])
    mean = jnp.concatenate([experts.mean, jnp.zeros((1, *latent))])
    scale = jnp.concatenate([experts.scale, jnp.ones((1, *latent))])
    log_precision = jnp.where(present[..., None], -2 * jnp.log(scale), -jnp.inf)
    mean = jnp.sum(jax.nn.softmax(log_precision, axis=0) * mean, axis=0)
    return GaussianCode(mean, jnp.exp(-0.5 * jax.nn.logsumexp(log_precision, axis=0)))


def subset_products(
    experts: Experts, subsets: Sequence[Sequence[int]], *, with_prior: Sequence[bool]
) -> Experts:
    """The product over each subset T, present in rows that have all of T.

    Args:
        experts: N(μ_j, diag σ_j²).
        subsets: Positions of the members of each T.
        with_prior: Whether N(0, I) is one more factor, subset by subset.
    """
    codes, present = [], []
    for subset, has_prior in zip(subsets, with_prior, strict=True):
        members = Experts(*(leaf[jnp.asarray(subset)] for leaf in experts))
        codes.append(product(members, with_prior=has_prior))
        present.append(jnp.all(members.present, axis=0))
    return experts_of(codes, jnp.stack(present))


def mixture_log_prob(
    log_probs: Float[Array, " experts *draws_and_batch"],
    present: Bool[Array, " experts *batch"],
) -> Float[Array, " *draws_and_batch"]:
    """log (1/J) Σ_j q_j(z) over the J components that a row has, nats.

    A row without any has all: they are of mean 0 and scale 1.

    Args:
        log_probs: log q_j(z), f32[J, *draws, *B].
        present: bool[J, *B].
    """
    present = present | ~jnp.any(present, axis=0)
    between = (1,) * (log_probs.ndim - present.ndim)
    present = present.reshape(present.shape[:1] + between + present.shape[1:])
    return jax.nn.logmeanexp(log_probs, axis=0, where=present)


def choose(
    rng_key: jax.Array, present: Bool[Array, " experts *batch"]
) -> Int[Array, " *batch"]:
    """Position of one of the components that a row has, uniformly; 0 if it has none."""
    return jax.random.categorical(rng_key, jnp.where(present, 0.0, -jnp.inf), axis=0)


def take(
    values: Float[Array, "experts *batch latent"], chosen: Int[Array, " *batch"]
) -> Float[Array, "*batch latent"]:
    """The row of ``values`` at the position that ``choose`` gave for it."""
    return jnp.take_along_axis(values, chosen[None, ..., None], axis=0)[0]


def normal_kl(
    q: GaussianCode | Experts, p: GaussianCode | Experts
) -> Float[Array, " *batch"]:
    """KL(N(μ_q, diag σ_q²) ‖ N(μ_p, diag σ_p²)), nats; shapes broadcast.

    ::

        ½ Σ_d [ σ_q²/σ_p² − 1 − log σ_q²/σ_p² + (μ_q − μ_p)²/σ_p² ]
    """
    log_ratio = jnp.log(q.scale) - jnp.log(p.scale)
    shift = (q.mean - p.mean) / p.scale
    terms = jnp.expm1(2 * log_ratio) - 2 * log_ratio + jnp.square(shift)
    return 0.5 * jnp.sum(terms, axis=-1)
