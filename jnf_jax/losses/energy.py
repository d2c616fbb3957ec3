"""Learning an energy-based prior: the three gradients of its variational bound.

::

    L(α, θ, φ; X) = E_q [ log p_θ(X|z) + f_α(z) + log p_0(z) − log q_φ(z|X) ] − log Z(α)

    ∂L/∂α = E_X E_q[ ∂f_α(z)/∂α ] − E_{p_α}[ ∂f_α(z)/∂α ]
    ∂L/∂θ = E_q[ ∂ log p_θ(X|z)/∂θ ]
    ∂L/∂φ = reparametrised gradient of the ELBO whose prior is exp(f_α) p_0

Source: the variational scheme of arXiv 2409.19862, as in its authors' ICCV 2023 paper.
Each is the gradient of a function of its own: ``energy_contrast`` (α; it has no ∂/∂z:
positives and negatives are draws), ``generation_loss`` (θ) and ``inference_loss`` (φ).
Z(α) depends on neither θ nor φ, so that the last two together are those of
``joint_elbo`` with a prior whose parameters are stopped: methods here use that.
"""

from collections.abc import Callable, Mapping

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses.joint import LogRatio, sampled_log_ratio, weighted_sum
from jnf_jax.types import Params, Prior, Views


def energy_contrast(
    params: Params,
    positives: Float[Array, "positives latent"],
    negatives: Float[Array, "negatives latent"],
    *,
    tilt: Callable[[Params, jax.Array], jax.Array],
    weights: Float[Array, " positives"] | None = None,
    negative_weights: Float[Array, " negatives"] | None = None,
) -> Float[Array, ""]:
    """A surrogate whose gradient in α is −∂L/∂α; minimised, in nats.

    ::

        −( Σ_i w_i f_α(z⁺_i) − mean_i f_α(z⁻_i) ),    z⁺ ~ q(z|X),  z⁻ ~ p_α

    Its *value* is minus the energy gap and no bound of anything: it hovers around 0.
    Neither positives nor negatives get a gradient.

    Args:
        params: α, the parameters of the tilt alone.
        positives: z⁺ f32[P, D]; of a mixture of experts the same number from each.
        negatives: z⁻ f32[N, D].
        tilt: ``(params, z f32[*B, D]) -> f32[*B]``.
        weights: w_i ≥ 0, summing to 1, as importance weights of an IWAE objective do;
            1/P if None.
        negative_weights: Likewise for the negatives: 0 for those that are no draws of
            p_α, as where a chain diverged; 1/N if None.
    """
    positive = tilt(params, jax.lax.stop_gradient(positives))
    negative = tilt(params, jax.lax.stop_gradient(negatives))
    return _mean(negative, negative_weights) - _mean(positive, weights)


def _mean(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    if weights is None:
        return jnp.mean(values)
    return jnp.sum(jax.lax.stop_gradient(weights) * values)


def generation_loss(
    params: Params,
    z: Float[Array, "batch latent"],
    batch: Views,
    *,
    decode: Callable[[Params, jax.Array], dict[str, distrax.Distribution]],
    likelihood_weights: Mapping[str, float] | None = None,
) -> Float[Array, ""]:
    """−mean Σ_m λ_m log p_θ(x_m|z), nats: its gradient in θ is −∂L/∂θ.

    ``params`` is θ, those of the decoders alone; z are draws of q(z|X), f32[B, D],
    which no gradient reaches; λ_m are all one if None.
    """
    likelihoods = decode(params, jax.lax.stop_gradient(z))
    each = {m: p.log_prob(batch[m]) for m, p in likelihoods.items()}
    return -jnp.mean(weighted_sum(each, likelihood_weights))


def inference_loss(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    encode: Callable[[Params, Views], distrax.Distribution],
    decode: Callable[[jax.Array], dict[str, distrax.Distribution]],
    prior: Prior,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    log_ratio: LogRatio = sampled_log_ratio,
) -> Float[Array, ""]:
    """−mean ELBO of one reparametrised draw; its gradient in φ is −∂L/∂φ.

    ::

        −mean( Σ_m λ_m log p(x_m|z) − β [ log q_φ(z|X) − f(z) − log p_0(z) ] )

    ``params`` is φ, those of the encoder alone; decoders and the prior exp(f) p_0 come
    with their parameters. log Z is not needed: the loss is too small by β log Z. The
    other arguments are as ``joint_elbo`` takes them.
    """
    posterior = encode(params, batch)
    z = posterior.sample(seed=rng_key)
    each = {m: p.log_prob(batch[m]) for m, p in decode(z).items()}
    log_likelihood = weighted_sum(each, likelihood_weights)
    return -jnp.mean(log_likelihood - beta * log_ratio(posterior, prior, z))


def energy_magnitude(
    params: Params,
    draws: Float[Array, "draws latent"],
    *,
    tilt: Callable[[Params, jax.Array], jax.Array],
) -> Float[Array, ""]:
    """mean f_α(z)²: a small multiple of it stops f's free constant from drifting."""
    return jnp.mean(jnp.square(tilt(params, jax.lax.stop_gradient(draws))))
