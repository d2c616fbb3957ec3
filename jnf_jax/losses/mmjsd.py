"""mmJSD (arXiv 2006.08242): a mixture of experts and a prior made of them."""

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
from jnf_jax.losses.joint import weighted_sum
from jnf_jax.types import GaussianCode, Mask, Params, Views


def mmjsd(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: AggregateModel,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    present: Mask | None = None,
) -> MixtureTerms:
    """Objective with the Jensen–Shannon divergence of experts and prior; maximised.

    Per datum, in nats::

        z_m ~ q_m(z|x_m),    f(z|X) ∝ ( p(z) Π_m q_m(z|x_m) )^{1/(M+1)},   p = N(0, I)
        objective = (1/M) Σ_m Σ_n λ_n log p(x_n|z_m)
                    − β/(M+1) [ Σ_m KL(q_m(z|x_m) ‖ f) + KL(p ‖ f) ]

    Source: arXiv 2006.08242, with uniform weights and the dynamic prior f as the
    geometric mean, a normal with the mean of the product and M + 1 times its variance.
    Deviations: every expert gives a draw (the mean is the same, with less noise); and
    the prior gives none, where the released code counts p among the components that z
    is drawn from.

    It is no lower bound of log p(X), nor the ELBO for M = 1: there the divergence is
    the mean of KL(q ‖ f) and KL(p ‖ f), not KL(q ‖ p).

    Args:
        params: Parameters of experts and decoders.
        rng_key: Typed key.
        batch: Modality -> f32[B, ...].
        model: The apply-functions; experts are normal. ``prior`` is not asked: f is
            closed for N(0, I) alone.
        likelihood_weights: λ_m by modality; all one if None.
        beta: β.
        present: {m: bool[B]}, the views that a row has; M is their number in the row.
            Hidden views change neither a value nor a gradient. None hides nothing.

    Returns:
        MixtureTerms, z f32[M, B, D]; ``log_ratio`` is the bracket over M + 1.

    Raises:
        ValueError: Names differ between ``batch``, experts, ``present`` and
            ``likelihood_weights``.
    """
    experts, views, present = read_experts(params, batch, model, present)
    posteriors = model.posterior(experts.mean, experts.scale)
    z = posteriors.sample(seed=rng_key)
    num = experts.present.sum(axis=0)
    weights = experts.present / jnp.maximum(num, 1)
    each = log_likelihoods(lambda z: model.decode(params, z), z, views, present)
    log_likelihood = {n: jnp.sum(weights * v, axis=0) for n, v in each.items()}

    code = product(experts, with_prior=True)
    dynamic = code._replace(scale=code.scale * jnp.sqrt(num + 1.0)[:, None])
    prior = GaussianCode(jnp.zeros_like(code.mean), jnp.ones_like(code.scale))
    to_dynamic = jnp.where(experts.present, normal_kl(experts, dynamic), 0.0)
    ratio = (to_dynamic.sum(axis=0) + normal_kl(prior, dynamic)) / (num + 1)
    objective = weighted_sum(log_likelihood, likelihood_weights) - beta * ratio
    return MixtureTerms(objective, log_likelihood, ratio, z, weights)
