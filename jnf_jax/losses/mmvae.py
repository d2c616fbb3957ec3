"""MMVAE (arXiv 1911.03393): a mixture of experts, its two bounds, three gradients.

The bounds are of log p(X), by K draws of each of M experts::

    z_jk ~ q_j(z|x_j)
    ℓ_jk = Σ_n λ_n log p(x_n|z_jk) − β [ log (1/M) Σ_i q_i(z_jk|x_i) − log p(z_jk) ]
    looser   (1/M) Σ_j log (1/K) Σ_k exp ℓ_jk        as published runs have it
    tighter  log (1/MK) Σ_jk exp ℓ_jk

Experts φ learn from them by draws z_jk = T_j(ε; φ_j), T_j(ε) = μ_j + σ_j ε, and because
φ decides the mixture's density. With w_jk = exp ℓ_jk over its sum in the logarithm,
a_jk = w_jk / M (looser) or w_jk (tighter), and ℓ' = ∂ℓ/∂z with φ held fixed::

    plain           Σ_jk a_jk [ ∂T_j ℓ'_jk − β ∂_φ log Σ_i q_i(z_jk) ]
    dreg_published  Σ_jk a_jk w_jk ∂T_j ℓ'_jk
    dreg            Σ_jk a_jk { ∂T_j ℓ'_jk
                      − β Σ_i r_i ∂T_i [ (1 − w_jk) ℓ'_jk + ∂_z log (q_j/Σ_i q_i) ] }

r_i = q_i / Σ_i q_i at z_jk, ∂T_i at the ε that T_i takes there. The last is unbiased,
by E_q[g ∂_φ log p] = E_q[∂T_p (∂_z g + g ∂_z log (q/p))] (Bauer and Mnih, ICML 2021)
for every pair of sampling and evaluated expert; for M = 1 and β = 1 it is the second,
DReG of arXiv 1810.04152. For M > 1 the second, which MMVAE trains with, leaves out that
experts are drawn from one and weighed by all: it is right where experts agree, or for
K = 1 in the looser bound, and biased elsewhere (docs/math.md has numbers).
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.aggregation import Experts, mixture_log_prob
from jnf_jax.losses.aggregate import (
    AggregateModel,
    MixtureTerms,
    log_likelihoods,
    read_experts,
)
from jnf_jax.losses.joint import weighted_sum
from jnf_jax.types import Mask, Params, Views

BOUNDS = ("looser", "tighter")
GRADIENTS = ("plain", "dreg", "dreg_published")

Weights = Float[Array, "experts samples batch"]
Draws = Float[Array, "experts samples batch latent"]


def mmvae(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: AggregateModel,
    num_importance_samples: int = 1,
    bound: str = "looser",
    gradient: str = "plain",
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    present: Mask | None = None,
) -> MixtureTerms:
    """A K-sample bound with a mixture of experts, per datum, in nats; maximised.

    The equations stand above. Source: arXiv 1911.03393. A lower bound of log p(X) where
    λ ≡ 1, β = 1 and p(z) is normalised; K draws tighten both, and with K the tighter
    one comes to log p(X), the looser one does not where experts differ. For M = 1 they
    are one, that of ``iwae_bound``.

    Args:
        params: Parameters of experts, decoders and prior.
        rng_key: Typed key.
        batch: Modality -> f32[B, ...].
        model: The apply-functions.
        num_importance_samples: K ≥ 1, draws an expert.
        bound: A name in ``BOUNDS``.
        gradient: A name in ``GRADIENTS``: how experts learn. The value and all other
            gradients are the same.
        likelihood_weights: λ_m by modality; all one if None.
        beta: β.
        present: {m: bool[B]}, the views that a row has; M is their number in the row.
            Hidden views change neither a value nor a gradient. None hides nothing.

    Returns:
        MixtureTerms, z f32[M, K, B, D], with ``weights`` a_jk.

    Raises:
        ValueError: K < 1; ``bound`` or ``gradient`` is unknown; names differ between
            ``batch``, experts, ``present`` and ``likelihood_weights``.
    """
    if num_importance_samples < 1:
        raise ValueError(
            f"`num_importance_samples` is {num_importance_samples}, expected >= 1"
        )
    if bound not in BOUNDS:
        raise ValueError(f"`bound` is {bound!r}, expected one of {BOUNDS}")
    if gradient not in GRADIENTS:
        raise ValueError(f"`gradient` is {gradient!r}, expected one of {GRADIENTS}")
    experts, views, present = read_experts(params, batch, model, present)
    posteriors = model.posterior(experts.mean, experts.scale)
    z = posteriors.sample(seed=rng_key, sample_shape=num_importance_samples)
    z = jnp.moveaxis(z, 0, 1)

    def weigh(z: Draws, experts: Experts):
        """ℓ, and the log-likelihoods and log-ratios that it is made of."""
        log_likelihood = log_likelihoods(
            lambda z: model.decode(params, z), z, views, present
        )
        ratio = _log_mixture(model, experts, z) - model.prior(params).log_density(z)
        reconstruction = weighted_sum(log_likelihood, likelihood_weights)
        return reconstruction - beta * ratio, (log_likelihood, ratio)

    is_looser, frozen = bound == "looser", jax.lax.stop_gradient(experts)
    if gradient == "plain":
        log_weights, parts = weigh(z, experts)
        objective, _, weights = _bound(log_weights, experts, is_looser)
    elif gradient == "dreg_published":
        # XLA finds that both are one pass, of which the gradient takes one back.
        share = _bound(weigh(z, frozen)[0], frozen, is_looser)[1]
        log_weights, parts = weigh(_pulled_by(z, share), frozen)
        objective, _, weights = _bound(log_weights, frozen, is_looser)
    else:
        log_weights, pull, parts = jax.vjp(
            lambda z: weigh(z, frozen), jax.lax.stop_gradient(z), has_aux=True
        )
        (slope,) = pull(jnp.ones_like(log_weights))
        objective, share, weights = _bound(log_weights, frozen, is_looser)
        slope = jax.lax.stop_gradient(slope)
        surrogate = _generalised(model, experts, z, share, slope, beta)
        surrogate = jnp.sum(weights * surrogate, axis=(0, 1))
        objective += surrogate - jax.lax.stop_gradient(surrogate)

    num = jnp.maximum(experts.present.sum(axis=0), 1)
    evenly = experts.present[:, None] / (num * num_importance_samples)
    means = jax.tree.map(lambda values: jnp.sum(evenly * values, axis=(0, 1)), parts)
    return MixtureTerms(objective, *means, z, weights)


def _log_probs(model: AggregateModel, experts: Experts, z: Draws):
    """log q_i(z_jk), f32[M (i), M (j), K, B]."""
    each = [
        model.posterior(m, s).log_prob(z) for m, s in zip(*experts[:2], strict=True)
    ]
    return jnp.stack(each)


def _log_mixture(model: AggregateModel, experts: Experts, z: Draws) -> Weights:
    return mixture_log_prob(_log_probs(model, experts, z), experts.present)


def _bound(
    log_weights: Weights, experts: Experts, is_looser: bool
) -> tuple[Float[Array, " batch"], Weights, Weights]:
    """The bound, 0 of a row without views; w_jk; a_jk. These two have no gradient."""
    num = experts.present.sum(axis=0)
    shown = jnp.broadcast_to(experts.present[:, None], log_weights.shape)
    constant = jax.lax.stop_gradient(log_weights)
    if is_looser:
        per_expert = jax.nn.logmeanexp(log_weights, axis=1)
        sums = jnp.sum(jnp.where(experts.present, per_expert, 0.0), axis=0)
        share = jnp.where(shown, jax.nn.softmax(constant, axis=1), 0.0)
        return sums / jnp.maximum(num, 1), share, share / jnp.maximum(num, 1)
    # No mean is over nothing: where all are hidden, none of it is used.
    either = shown | (num == 0)
    value = jax.nn.logmeanexp(log_weights, axis=(0, 1), where=either)
    share = jax.nn.softmax(jnp.where(either, constant, -jnp.inf), axis=(0, 1))
    share = jnp.where(shown, share, 0.0)
    return jnp.where(num > 0, value, 0.0), share, share


@jax.custom_vjp
def _pulled_by(z: Draws, share: Weights) -> Draws:
    """z, whose gradient is multiplied by w_jk: a_jk ℓ' becomes a_jk w_jk ℓ'."""
    del share
    return z


def _forward(z: Draws, share: Weights) -> tuple[Draws, Weights]:
    return z, share


def _backward(share: Weights, of_z: Draws) -> tuple[Draws, Weights]:
    return share[..., None] * of_z, jnp.zeros_like(share)


_pulled_by.defvjp(_forward, _backward)


def _generalised(model, experts, z, share, slope, beta) -> Weights:
    """What has, in the experts, the gradient that a_jk multiplies in ``dreg``."""
    frozen, at = jax.lax.stop_gradient((experts, z))

    def own_over_all(z: Draws):
        log_probs = _log_probs(model, frozen, z)
        own = jnp.moveaxis(jnp.diagonal(log_probs), -1, 0)
        return jnp.sum(own - mixture_log_prob(log_probs, frozen.present)), log_probs

    score, log_probs = jax.grad(own_over_all, has_aux=True)(at)
    shown = frozen.present[:, None, None]
    responsibilities = jax.nn.softmax(jnp.where(shown, log_probs, -jnp.inf), axis=0)
    responsibilities = jnp.where(shown, responsibilities, 0.0)
    step = (1 - share)[..., None] * slope + score
    noise = (at - frozen.mean[:, None, None]) / frozen.scale[:, None, None]
    again = experts.mean[:, None, None] + experts.scale[:, None, None] * noise
    direct = jnp.sum(responsibilities * jnp.sum(step * again, axis=-1), axis=0)
    return jnp.sum(slope * z, axis=-1) - beta * direct
