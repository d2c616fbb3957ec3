"""The joint VAE's objective (stage one of JNF, arXiv 2502.03952) and its IWAE bound."""

import dataclasses
from collections.abc import Callable, Mapping

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.types import Latents, Mask, Nats, ObjectiveTerms, Params, Prior, Views


@dataclasses.dataclass(frozen=True)
class JointModel:
    """Apply-functions of a joint VAE; hashable, so static under ``jax.jit``.

    Attributes:
        encode: ``(params, views) -> q(z|X)``, batch [B], event [D]; of rows that may
            lack views ``(params, views, present) -> q(z|x_O)``.
        decode: ``(params, z f32[B, D]) -> {modality: p(x_m|z)}``, batch [B] each.
        prior: ``params -> p(z)``.
    """

    encode: Callable[..., distrax.Distribution]
    decode: Callable[[Params, jax.Array], dict[str, distrax.Distribution]]
    prior: Callable[[Params], Prior]


LogRatio = Callable[[distrax.Distribution, Prior, Latents], Nats]
"""(q(z|X), p(z), z) -> log q(z|X) − log p(z), or its expectation under q; nats."""


def sampled_log_ratio(
    posterior: distrax.Distribution, prior: Prior, z: Latents
) -> Nats:
    """log q(z|X) − log p(z) at the sample z: unbiased for the KL, for any prior; nats.

    With an unnormalised prior it is short of the KL by log Z.
    """
    return posterior.log_prob(z) - prior.log_density(z)


def gaussian_kl(posterior: distrax.Distribution, prior: Prior, z: Latents) -> Nats:
    """KL(q ‖ p) of two diagonal Gaussians, free of sampling noise; nats.

    ::

        ½ Σ_d [ (σ_d² + (μ_d − m_d)²) / s_d² − 1 − log(σ_d² / s_d²) ]

    The posterior is a ``MultivariateNormalDiag``, N(μ, diag σ²), the prior has ``mean``
    and ``scale`` (f32[D] or scalar), N(m, diag s²), and z is not used: it stands in the
    signature that ``sampled_log_ratio`` has.

    Raises:
        ValueError: If either side is not a diagonal Gaussian.
    """
    if not isinstance(posterior, distrax.MultivariateNormalDiag):
        raise ValueError(
            "`posterior` of gaussian_kl must be a distrax.MultivariateNormalDiag, got "
            f"{type(posterior).__name__}; use sampled_log_ratio"
        )
    if not (hasattr(prior, "mean") and hasattr(prior, "scale")):
        raise ValueError(
            "`prior` of gaussian_kl must be Gaussian with `mean` and `scale`, got "
            f"{type(prior).__name__}; use sampled_log_ratio"
        )
    variance_ratio = jnp.square(posterior.scale_diag / prior.scale)
    shift = jnp.square((posterior.loc - prior.mean) / prior.scale)
    return 0.5 * jnp.sum(variance_ratio + shift - 1 - jnp.log(variance_ratio), axis=-1)


def tilted_kl(posterior: distrax.Distribution, prior: Prior, z: Latents) -> Nats:
    """KL(q ‖ p) for p ∝ exp(t) p_0 with a Gaussian p_0, nats, up to log Z.

    ::

        KL(q ‖ p_0) − t(z),    z ~ q

    The first term is ``gaussian_kl``, with its conditions, to the ``reference`` of the
    prior; only the expectation of its ``log_tilt``, t: f32[B, D] -> f32[B], is sampled.
    """
    return gaussian_kl(posterior, prior.reference, z) - prior.log_tilt(z)


def weighted_sum(
    terms: Mapping[str, Nats], weights: Mapping[str, float] | None
) -> Nats:
    """Σ_m λ_m terms_m; λ ≡ 1 if ``weights`` is None.

    Raises:
        ValueError: If ``weights`` does not name the terms.
    """
    if weights is None:
        weights = dict.fromkeys(terms, 1.0)
    if sorted(weights) != sorted(terms):
        raise ValueError(
            f"`likelihood_weights` names {sorted(weights)}, expected {sorted(terms)}"
        )
    return sum(weights[m] * terms[m] for m in sorted(terms))


def hide_absent(views: Views, present: Mask) -> dict[str, jax.Array]:
    """Zeros in place of views that a row lacks, whatever stood there, even NaN."""

    def hide(x: jax.Array, has: jax.Array) -> jax.Array:
        return jnp.where(has.reshape(-1, *[1] * (x.ndim - 1)), x, 0)

    return {m: hide(views[m], present[m]) for m in sorted(views)}


def joint_elbo(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: JointModel,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    log_ratio: LogRatio = sampled_log_ratio,
    present: Mask | None = None,
) -> ObjectiveTerms:
    """One-sample objective of the joint VAE, per datum, in nats; maximised.

    ::

        z ~ q(z|X)
        objective = Σ_m λ_m log p(x_m|z) − β [ log q(z|X) − log p(z) ]

    Source: arXiv 2502.03952, stage one. A lower bound of log p(X) only where λ ≡ 1,
    β = 1 and the prior is normalised. A row that has the views O alone has x_O in the
    place of X, a bound of log p(x_O): no view that it lacks changes value or gradient.

    Args:
        params: Parameters of encoder, decoders and prior.
        rng_key: Typed key of the one draw of z.
        batch: Modality -> f32[B, ...].
        model: The apply-functions.
        likelihood_weights: λ_m by modality; all one if None.
        beta: Weight β of the log-ratio.
        log_ratio: ``sampled_log_ratio``; ``gaussian_kl`` where both are Gaussian, or
            ``tilted_kl`` where the prior is a tilted Gaussian.
        present: O of every row, {m: bool[B]}; None: every row has all views.

    Returns:
        ObjectiveTerms, ``log_likelihood`` without λ, 0 for a view that is not there,
        and ``log_ratio`` without β.

    Raises:
        ValueError: If ``likelihood_weights`` does not name the decoded modalities.
    """
    if present is None:
        posterior = model.encode(params, batch)
    else:
        batch = hide_absent(batch, present)
        posterior = model.encode(params, batch, present)
    prior = model.prior(params)
    z = posterior.sample(seed=rng_key)
    likelihoods = model.decode(params, z)
    log_likelihood = {m: likelihoods[m].log_prob(batch[m]) for m in sorted(likelihoods)}
    if present is not None:
        log_likelihood = {m: x * present[m] for m, x in log_likelihood.items()}
    ratio = log_ratio(posterior, prior, z)
    objective = weighted_sum(log_likelihood, likelihood_weights) - beta * ratio
    return ObjectiveTerms(objective, log_likelihood, ratio)


def iwae_bound(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: JointModel,
    num_importance_samples: int,
) -> Float[Array, " batch"]:
    """Importance-weighted bound of log p(X), per datum, in nats; maximised.

    ::

        log (1/K) Σ_k p(X|z_k) p(z_k) / q(z_k|X),   z_k ~ q(z|X)

    Source: arXiv 1509.00519. Tightens with K; with an unnormalised prior it misses
    −log Z and bounds nothing. The K draws are decoded one after the other, so that
    memory does not grow with K (it does where the bound is differentiated). Arguments
    are those of ``joint_elbo``; K ≥ 1 is ``num_importance_samples``.

    Raises:
        ValueError: If ``num_importance_samples`` < 1.
    """
    if num_importance_samples < 1:
        raise ValueError(
            f"`num_importance_samples` must be at least 1, got {num_importance_samples}"
        )
    posterior, prior = model.encode(params, batch), model.prior(params)

    def log_weight(key: jax.Array) -> jax.Array:
        z = posterior.sample(seed=key)
        likelihoods = model.decode(params, z)
        log_likelihood = sum(likelihoods[m].log_prob(batch[m]) for m in likelihoods)
        return log_likelihood - sampled_log_ratio(posterior, prior, z)

    keys = jax.random.split(rng_key, num_importance_samples)
    return jax.nn.logmeanexp(jax.lax.map(log_weight, keys), axis=0)
