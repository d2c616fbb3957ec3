"""Contrastive learning of what views share: InfoNCE, and NT-Xent over all pairs."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def info_nce(similarity: Float[Array, "batch candidates"]) -> Float[Array, " batch"]:
    """One-sided InfoNCE, per datum, in nats; minimised.

    ::

        loss_i = − log( exp t(a_i, b_i) / Σ_j exp t(a_i, b_j) )
        log B − E[loss]  ≤  I(a; b)

    Source: arXiv 1807.03748. The B candidates include the positive. The bound never
    exceeds log B; it is tight only for a large B and t = log p(b|a) − log p(b), up to a
    function of a.

    Args:
        similarity: t(a_i, b_j) f32[B, B], a in rows; positives on the diagonal.

    Raises:
        ValueError: If ``similarity`` is not square.

    >>> info_nce(jnp.zeros((2, 2)))  # log 2 each
    Array([0.6931472, 0.6931472], dtype=float32)
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(
            f"`similarity` has shape {similarity.shape}, expected [B, B] with the "
            "positives on its diagonal"
        )
    return jax.nn.logsumexp(similarity, axis=1) - jnp.diagonal(similarity)


def symmetric_info_nce(
    embeddings: Mapping[str, Float[Array, "_ size"]],
    temperature: float | Float[Array, ""],
) -> Float[Array, " batch"]:
    """InfoNCE in both directions, summed over all pairs; per datum, in nats; minimised.

    ::

        loss_i = Σ_{a<b} ½ ( loss_i^{a→b} + loss_i^{b→a} ),    t = ⟨h_a, h_b⟩ / τ

    Args:
        embeddings: {m: h_m f32[B, o]}, of two or more modalities.
        temperature: τ > 0.

    Raises:
        ValueError: If there are fewer than two modalities, shapes differ, or a τ that
            is a Python number is not > 0.
    """
    _check(embeddings, temperature)
    total = 0.0
    for a, b in itertools.combinations(sorted(embeddings), 2):
        similarity = _similarity(embeddings[a], embeddings[b]) / temperature
        total = total + 0.5 * (info_nce(similarity) + info_nce(similarity.T))
    return total


def nt_xent(
    embeddings: Mapping[str, Float[Array, "_ size"]],
    temperature: float | Float[Array, ""],
) -> Float[Array, " batch"]:
    """NT-Xent between modalities, summed over all pairs; per datum, nats; minimised.

    For a pair the 2B embeddings are one list, and every other member of it is a
    candidate, those of the anchor's own modality included::

        s(h, h') = exp(⟨h, h'⟩ / τ)
        ℓ_i^{ab} = − log s(h_a^i, h_b^i) / Σ_{h ≠ h_a^i} s(h_a^i, h)
        loss_i   = Σ_{a<b} ½ ( ℓ_i^{ab} + ℓ_i^{ba} )

    Source: GMC, arXiv 2202.03390, with pairs of two modalities. It is not the bound
    that InfoNCE is.

    Arguments, their faults and the shape are those of ``symmetric_info_nce``;
    embeddings have unit length. Where all similarities are equal it is log(2B − 1) a
    pair.
    """
    _check(embeddings, temperature)
    own = {}  # log Σ over the other members of the anchor's own modality
    for m, h in embeddings.items():
        similarity = _similarity(h, h) / temperature
        is_anchor = jnp.eye(len(h), dtype=bool)
        own[m] = jax.nn.logsumexp(similarity, axis=1, where=~is_anchor)
    total = 0.0
    for a, b in itertools.combinations(sorted(embeddings), 2):
        similarity = _similarity(embeddings[a], embeddings[b]) / temperature
        for m, across in ((a, similarity), (b, similarity.T)):
            candidates = jnp.logaddexp(own[m], jax.nn.logsumexp(across, axis=1))
            total = total + 0.5 * (candidates - jnp.diagonal(across))
    return total


def _similarity(a: jax.Array, b: jax.Array) -> jax.Array:
    """⟨a_i, b_j⟩ in full float32: 1/τ would multiply what a faster product loses."""
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def _check(embeddings: Mapping[str, jax.Array], temperature: Any) -> None:
    shapes = {m: h.shape for m, h in embeddings.items()}
    if len(shapes) < 2 or len(set(shapes.values())) > 1:
        raise ValueError(
            f"`embeddings` has shapes {shapes}, expected one shape [B, o] for two or "
            "more modalities"
        )
    # One that is learnt is traced: its value is not known here.
    if isinstance(temperature, int | float) and not temperature > 0:
        raise ValueError(f"`temperature` is {temperature}, expected > 0")
