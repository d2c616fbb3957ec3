"""The part that objectives with aggregated unimodal posteriors have in common."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.aggregation import Experts, stack
from jnf_jax.losses.joint import hide_absent
from jnf_jax.types import GaussianCode, Mask, Params, Prior, Views


@dataclasses.dataclass(frozen=True)
class AggregateModel:
    """Apply-functions of experts and decoders; hashable, so static under ``jax.jit``.

    Attributes:
        encode: ``(params, views) -> {m: GaussianCode}``, mean and scale of q_m(z|x_m).
        decode: ``(params, z f32[N, D]) -> {m: p(x_m|z)}``, batch [N] each.
        prior: ``params -> p(z)``.
        posterior: ``(mean, scale) -> q``, a family of locations and scales with events
            [D]. What multiplies experts needs the normal one.
    """

    encode: Callable[[Params, Views], dict[str, GaussianCode]]
    decode: Callable[[Params, jax.Array], dict[str, distrax.Distribution]]
    prior: Callable[[Params], Prior]
    posterior: Callable[[jax.Array, jax.Array], distrax.Distribution] = (
        distrax.MultivariateNormalDiag
    )


class MixtureTerms(NamedTuple):
    """Terms of an objective that is maximised, in nats, and the draws that it took.

    Attributes:
        objective: f32[B].
        log_likelihood: {m: f32[B]}, without λ, mean over draws; 0 of hidden views.
        log_ratio: f32[B], without β, mean over draws: only where a datum has one draw,
            or these are averaged outside the logarithm, do they add up to the
            objective.
        z: The draws of q(z|X), components first.
        weights: Of the draws, without gradient; those of one datum sum to 1.
    """

    objective: Float[Array, " batch"]
    log_likelihood: dict[str, Float[Array, " batch"]]
    log_ratio: Float[Array, " batch"]
    z: Float[Array, "*draws batch latent"]
    weights: Float[Array, "*draws batch"]


def read_experts(
    params: Params, batch: Views, model: AggregateModel, present: Mask | None
) -> tuple[Experts, dict[str, jax.Array], Mask]:
    """The experts of a batch, its views with zeros for absent ones, and the mask.

    Raises:
        ValueError: ``present``, ``batch`` and the experts name different modalities.
    """
    if present is None:
        present = {m: jnp.ones(x.shape[0], bool) for m, x in batch.items()}
    if sorted(present) != sorted(batch):
        raise ValueError(f"`present` names {sorted(present)}, expected {sorted(batch)}")
    views = hide_absent(batch, present)
    codes = model.encode(params, views)
    if sorted(codes) != sorted(batch):
        raise ValueError(
            f"`model.encode` gives {sorted(codes)}, expected {sorted(batch)} as in "
            "`batch`"
        )
    return stack(codes, present), views, present


def log_likelihoods(
    decode: Callable[[Any], Mapping[str, distrax.Distribution]],
    latent: Any,
    batch: Views,
    present: Mask | None = None,
) -> dict[str, Float[Array, "*draws batch"]]:
    """{n: log p(x_n|z)}, nats: one call of each decoder for all draws.

    Args:
        decode: ``latent [N, ...] -> {n: p(x_n|z)}``.
        latent: z f32[*draws, B, D], or a struct of such.
        batch: {n: f32[B, ...]}.
        present: Mask; the likelihood of a hidden view is 0, that of one that it does
            not name is left out.
    """
    leaf = jax.tree.leaves(latent)[0]
    draws, num_data = leaf.shape[:-2], leaf.shape[-2]
    num_draws = math.prod(draws)

    # Data come first, so that a batch that is sharded over devices stays so.
    def rows(z: jax.Array) -> jax.Array:
        by_datum = jnp.moveaxis(z, -2, 0)  # events may have size 0
        return by_datum.reshape(num_data * num_draws, z.shape[-1])

    def repeated(x: jax.Array) -> jax.Array:
        copies = jnp.broadcast_to(x[:, None], (num_data, num_draws, *x.shape[1:]))
        return copies.reshape(-1, *x.shape[1:])

    def by_draw(values: jax.Array) -> jax.Array:
        return jnp.moveaxis(values.reshape(num_data, *draws), 0, -1)

    likelihoods = decode(jax.tree.map(rows, latent))
    found = {
        n: by_draw(likelihoods[n].log_prob(repeated(batch[n])))
        for n in sorted(likelihoods if present is None else present)
    }
    if present is None:
        return found
    return {n: jnp.where(present[n], value, 0.0) for n, value in found.items()}
