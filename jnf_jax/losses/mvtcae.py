"""MVTCAE (Hwang et al., NeurIPS 2021): a product of experts that each stay near it."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.aggregation import normal_kl, product
from jnf_jax.losses.aggregate import (
    AggregateModel,
    MixtureTerms,
    log_likelihoods,
    read_experts,
)
from jnf_jax.losses.joint import LogRatio, sampled_log_ratio, weighted_sum
from jnf_jax.types import Mask, Params, Views


def mvtcae(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: AggregateModel,
    alpha: float = 5 / 6,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    log_ratio: LogRatio = sampled_log_ratio,
    present: Mask | None = None,
) -> MixtureTerms:
    """A bound of the views' total correlation, per datum, in nats; maximised.

    ::

        q(z|X) ∝ Π_m q_m(z|x_m),    z ~ q(z|X)
        objective = (1 − α/M) Σ_m λ_m log p(x_m|z)
                    − β [ (α/M) Σ_m KL(q(z|X) ‖ q_m(z|x_m)) + (1 − α) KL(q(z|X) ‖ p) ]

    Source: Hwang et al., NeurIPS 2021, with experts that are not multiplied by the
    prior. It bounds no likelihood: α = 0 is the ELBO, and with M = 1 the first
    divergence is 0, so that 1 − α times the ELBO is left.

    Args:
        params: Parameters of experts, decoders and prior.
        rng_key: Typed key of the one draw of z.
        batch: Modality -> f32[B, ...].
        model: The apply-functions; experts are normal.
        alpha: α in [0, 1], the share of the conditional bottlenecks.
        likelihood_weights: λ_m by modality; all one if None.
        beta: β.
        log_ratio: The divergence from the prior, as ``joint_elbo`` takes it.
        present: {m: bool[B]}, the views that a row has; M is their number in the row.
            Hidden views change neither a value nor a gradient. None hides nothing.

    Returns:
        MixtureTerms of one draw; ``log_ratio`` is the bracket.

    Raises:
        ValueError: ``alpha`` is not in [0, 1]; names differ between ``batch``,
            experts, ``present`` and ``likelihood_weights``.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` is {alpha}, expected in [0, 1]")
    experts, views, present = read_experts(params, batch, model, present)
    code = product(experts)
    posterior = model.posterior(code.mean, code.scale)
    z = posterior.sample(seed=rng_key)
    log_likelihood = log_likelihoods(
        lambda z: model.decode(params, z), z, views, present
    )
    num = experts.present.sum(axis=0)
    share = alpha / jnp.maximum(num, 1)
    to_experts = jnp.where(experts.present, normal_kl(code, experts), 0.0).sum(axis=0)
    to_prior = jnp.where(num > 0, log_ratio(posterior, model.prior(params), z), 0.0)
    ratio = share * to_experts + (1 - alpha) * to_prior
    reconstruction = weighted_sum(log_likelihood, likelihood_weights)
    objective = (1 - share) * reconstruction - beta * ratio
    return MixtureTerms(objective, log_likelihood, ratio, z, jnp.ones(z.shape[:-1]))
