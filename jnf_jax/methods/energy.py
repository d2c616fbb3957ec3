"""How a method with an energy-based prior trains it (arXiv 2409.19862)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import energy_contrast, energy_magnitude
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.sampling import run_langevin
from jnf_jax.types import Params


def contrast(
    family: EnergyFamily,
    params: Params,
    rng_key: jax.Array,
    positives: Float[Array, "batch latent"],
    *,
    weights: Float[Array, " batch"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss of the tilt's parameters, and what to watch while they learn.

    As many negatives as positives, by Langevin on the prior as it stands. Deviation
    from the paper's order: α, θ and φ are updated in one step, not α first.

    Args:
        family: With the chain's settings.
        params: α, the parameters of f.
        rng_key: Typed key of the chains.
        positives: z⁺ ~ q(z|X), f32[B, D]; of a mixture as many from each expert.
        weights: Of the positives, as ``losses.energy_contrast`` takes them.

    Returns:
        A loss with the gradient of ``losses.energy_contrast``; and scalars: the energy
        gap mean f(z⁺) − mean f(z⁻) (nats; near 0 while the chain keeps up), the chain's
        displacement, gradient norm and acceptance, the share of chains that diverged,
        and the standard deviations of z⁺ and z⁻.
    """
    positives = jax.lax.stop_gradient(positives)
    prior = family.bind(jax.lax.stop_gradient(params), positives.shape[-1])
    if family.start == "posterior":
        negatives, run = run_langevin(
            rng_key, prior.log_density, positives, family.langevin
        )
    else:
        negatives, run = prior.run(rng_key, len(positives))
    loss = energy_contrast(
        params, positives, negatives, tilt=family.tilt, weights=weights
    )
    metrics = {
        "energy_gap": -loss,
        "langevin/displacement": run.displacement.mean(),
        "langevin/gradient_norm": run.gradient_norm.mean(),
        "langevin/acceptance": run.acceptance.mean(),
        "langevin/diverged": jnp.mean(run.first_bad_step > 0),
        "sd_positive": positives.std(),
        "sd_negative": negatives.std(),
    }
    if family.magnitude_penalty:
        draws = jnp.concatenate([positives, negatives])
        magnitude = energy_magnitude(params, draws, tilt=family.tilt)
        loss = loss + family.magnitude_penalty * magnitude
    return loss, metrics
