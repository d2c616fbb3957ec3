"""MMVAE+: a mixture of experts with shared and private latents (ICLR 2023).

Without private latents (all of size 0) it is MMVAE's looser bound (arXiv 1911.03393),
with a mixture as p(z) it is CMVAE's (Palumbo et al., ICLR 2024).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jnf_jax.aggregation import mixture_log_prob
from jnf_jax.losses.aggregate import MixtureTerms, log_likelihoods
from jnf_jax.losses.joint import hide_absent, weighted_sum
from jnf_jax.types import Mask, Params, Prior, Views


class Latent(NamedTuple):
    """All that a tuple is decoded from: z, and w_m of every modality."""

    shared: Float[Array, "batch latent"]
    private: dict[str, Float[Array, "batch private"]]


class Expert(NamedTuple):
    """q_m(z|x_m) and q_m(w_m|x_m) of one modality; batch [B], events [·]."""

    shared: distrax.Distribution
    private: distrax.Distribution


@dataclasses.dataclass(frozen=True)
class MixtureModel:
    """Apply-functions of a mixture of experts; hashable, so static under ``jax.jit``.

    Attributes:
        encode: ``(params, views) -> {m: Expert}``.
        decode: ``(params, Latent) -> {m: p(x_m|z, w_m)}``, batch [B] each.
        prior: ``params -> p(z)``.
        private_prior: p(w_m), fixed, of every modality.
        auxiliary_priors: ``params -> {m: r_m(w_m)}``, of modalities that are missing.
    """

    encode: Callable[[Params, Views], dict[str, Expert]]
    decode: Callable[[Params, Latent], dict[str, distrax.Distribution]]
    prior: Callable[[Params], Prior]
    private_prior: Prior
    auxiliary_priors: Callable[[Params], dict[str, Prior]]


def mmvae_plus(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: MixtureModel,
    num_importance_samples: int = 1,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    present: Mask | None = None,
) -> MixtureTerms:
    """The looser K-sample objective, per datum, in nats; maximised.

    Every expert m reconstructs all modalities from draws of its own. Modalities that it
    has not seen get their private latent from a learnt auxiliary prior: what one
    modality tells of another has to pass through z. ::

        z_mk ~ q_m(z|x_m),   w_mk ~ q_m(w|x_m),   w_m→m = w_mk,   w_m→n ~ r_n  (n ≠ m)
        ℓ_mk = Σ_n λ_n log p(x_n|z_mk, w_m→n)
               − β [ log (1/M) Σ_j q_j(z_mk|x_j) − log p(z_mk)
                     + log q_m(w_mk|x_m) − log p(w_mk) ]
        objective = (1/M) Σ_m log (1/K) Σ_k exp ℓ_mk

    Source: Palumbo, Daunhawer, Vogt, ICLR 2023. Deviation: its gradient is that of the
    re-parametrised bound as it stands. The published DReG estimator is biased for
    M, K ≥ 2, where its draws come from one expert and its weights from the mixture.

    A lower bound of log p(X) where λ ≡ 1, β = 1, p(z) is normalised and r_n = p(w_n);
    with other r_n it bounds nothing of the model that draws w_n from p(w_n).

    Arguments are those of ``joint_elbo``, and K ≥ 1, the draws an expert. A row that
    has the views O alone has the experts m ∈ O, M = |O|, and x_O in the place of X;
    without any view it adds nothing.

    Raises:
        ValueError: If K < 1, if ``likelihood_weights`` does not name the modalities, or
            if experts, auxiliary priors, ``present`` and ``batch`` do not.
    """
    if num_importance_samples < 1:
        raise ValueError(
            f"`num_importance_samples` must be at least 1, got {num_importance_samples}"
        )
    batch, has = _shown(batch, present)
    experts, auxiliary = model.encode(params, batch), model.auxiliary_priors(params)
    for field, given in {"encode": experts, "auxiliary_priors": auxiliary}.items():
        if sorted(given) != sorted(batch):
            raise ValueError(
                f"`model.{field}` gives {sorted(given)}, expected {sorted(batch)} as "
                "in `batch`"
            )
    shared_key, own_key, missing_key = jax.random.split(rng_key, 3)
    shared = [experts[m].shared for m in sorted(experts)]
    private = [experts[m].private for m in sorted(experts)]
    z = _stratified(shared_key, shared, num_importance_samples)
    w = _stratified(own_key, private, num_importance_samples)

    received = _received(missing_key, w, auxiliary)
    latent = Latent(z, received)
    log_likelihood = log_likelihoods(
        functools.partial(model.decode, params), latent, batch, present
    )
    log_each = jnp.stack([q.log_prob(z) for q in shared])
    if has is None:
        log_mixture = jax.nn.logmeanexp(log_each, axis=0)
    else:
        log_mixture = mixture_log_prob(log_each, has)
    log_own = jnp.stack([q.log_prob(w[i]) for i, q in enumerate(private)])
    log_ratio = log_mixture - model.prior(params).log_density(z)
    log_ratio += log_own - model.private_prior.log_density(w)

    log_weights = weighted_sum(log_likelihood, likelihood_weights) - beta * log_ratio
    per_expert = jax.nn.logmeanexp(log_weights, axis=1)
    normalised = jax.lax.stop_gradient(jax.nn.softmax(log_weights, axis=1))
    shares = 1.0 if has is None else has[:, None]
    num = len(shared) if has is None else jnp.maximum(has.sum(axis=0), 1)
    return MixtureTerms(
        _mean(per_expert, has),
        {m: _mean(value, has) for m, value in log_likelihood.items()},
        _mean(log_ratio, has),
        z,
        normalised * shares / num,
    )


def _shown(
    batch: Views, present: Mask | None
) -> tuple[Views, Bool[Array, "experts batch"] | None]:
    """The batch with zeros for absent views, and who has what; None: all have all."""
    if present is None:
        return batch, None
    if sorted(present) != sorted(batch):
        raise ValueError(f"`present` names {sorted(present)}, expected {sorted(batch)}")
    return hide_absent(batch, present), jnp.stack([present[m] for m in sorted(present)])


def _mean(
    values: Float[Array, "experts *samples batch"],
    has: Bool[Array, "experts batch"] | None,
) -> Float[Array, " batch"]:
    """Over all draws of the experts that a row has; 0 where it has none."""
    axes = tuple(range(values.ndim - 1))
    if has is None:
        return values.mean(axis=axes)
    shown = jnp.where(has, values.mean(axis=axes[1:]), 0.0)
    return jnp.sum(shown, axis=0) / jnp.maximum(has.sum(axis=0), 1)


def _stratified(
    rng_key: jax.Array, posteriors: list[distrax.Distribution], num_samples: int
) -> Float[Array, "experts samples batch event"]:
    """As many draws from each expert."""
    keyed = zip(posteriors, jax.random.split(rng_key, len(posteriors)), strict=True)
    each = [q.sample(seed=key, sample_shape=num_samples) for q, key in keyed]
    return jnp.stack(each)


def _received(
    rng_key: jax.Array,
    own: Float[Array, "experts samples batch private"],
    auxiliary: Mapping[str, Prior],
) -> dict[str, Float[Array, "experts samples batch private"]]:
    """{n: w_m→n}: that of expert n itself, and of r_n for all others."""
    received, keys = {}, jax.random.split(rng_key, len(own))
    for i, (n, key) in enumerate(zip(sorted(auxiliary), keys, strict=True)):
        missing = auxiliary[n].sample(key, math.prod(own.shape[:3]))
        received[n] = missing.reshape(own.shape).at[i].set(own[i])
    return received
