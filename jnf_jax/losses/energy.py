"""Learning an energy-based prior: the three gradients of its variational bound.

::

    L(α, θ, φ; X) = E_q [ log p_θ(X|z) + f_α(z) + log p_0(z) − log q_φ(z|X) ] − log Z(α)

    ∂L/∂α = E_X E_q[ ∂f_α(z)/∂α ] − E_{p_α}[ ∂f_α(z)/∂α ]
    ∂L/∂θ = E_q[ ∂ log p_θ(X|z)/∂θ ]
    ∂L/∂φ = reparametrised gradient of the ELBO whose prior is exp(f_α) p_0

Source: the variational scheme of arXiv 2409.19862, as in its authors' ICCV 2023 paper.
The last two are ``joint_elbo`` with a prior whose parameters are stopped: Z(α) does not
depend on θ or φ. The first is here. It has no ∂/∂z: positives and negatives are draws.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.types import Params


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
        negative_weights: Likewise of the negatives: 0 for those that are no draws of
            p_α, as of a chain that diverged; 1/N if None.

    Returns:
        f32[].
    """
    positive = tilt(params, jax.lax.stop_gradient(positives))
    negative = tilt(params, jax.lax.stop_gradient(negatives))
    return _mean(negative, negative_weights) - _mean(positive, weights)


def _mean(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    if weights is None:
        return jnp.mean(values)
    return jnp.sum(jax.lax.stop_gradient(weights) * values)


def energy_magnitude(
    params: Params,
    draws: Float[Array, "draws latent"],
    *,
    tilt: Callable[[Params, jax.Array], jax.Array],
) -> Float[Array, ""]:
    """mean f_α(z)²: a small multiple of it stops f's free constant from drifting."""
    return jnp.mean(jnp.square(tilt(params, jax.lax.stop_gradient(draws))))
