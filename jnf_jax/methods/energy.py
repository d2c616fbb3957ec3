"""How a method with an energy-based prior trains it (arXiv 2409.19862)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import energy_contrast, energy_magnitude
from jnf_jax.priors.energy import EnergyFamily, EnergyTiltedPrior
from jnf_jax.priors.family import PriorFamily
from jnf_jax.sampling import LangevinRun, moment_gap, moments, run_langevin
from jnf_jax.types import Params, Prior

NUM_PERSISTENT_CHAINS = 10_000
RESTART_SHARE = 0.05
"""Of the chains that persist, how many of those continued start anew from p_0."""

Chains = Float[Array, "chains latent"]


def init_chains(
    family: PriorFamily, latent_size: int, rng_key: jax.Array
) -> tuple[Chains, ...]:
    """The memory of a stage that learns ``family``: its chains if they persist, or ().

    They start as draws of p_0, f32[10,000, D].
    """
    if not isinstance(family, EnergyFamily) or family.start != "persistent":
        return ()
    return (family.bind_reference(latent_size).sample(rng_key, NUM_PERSISTENT_CHAINS),)


def contrast(
    family: EnergyFamily,
    params: Params,
    rng_key: jax.Array,
    positives: Float[Array, "batch latent"],
    *memory: Chains,
    weights: Float[Array, " batch"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]], *tuple[Chains, ...]]:
    """The loss of the tilt's parameters, and what to watch while they learn.

    As many negatives as positives, by Langevin on the prior as it stands, from where
    ``family.start`` says; where that is p_0, κ = 0 and f is still flat, its draws are
    those of the prior, and no chain runs (displacement and gradient norm are 0).
    Deviation from the paper's order: α, θ and φ are updated in one step, not α first.

    Args:
        family: With the chain's settings.
        params: α, the parameters of f.
        rng_key: Typed key of the chains.
        positives: z⁺ ~ q(z|X), f32[B, D]; of a mixture as many from each expert.
        *memory: As ``init_chains`` or the call before gave it.
        weights: Of the positives, as ``losses.energy_contrast`` takes them.

    Returns:
        A loss with the gradient of ``losses.energy_contrast``, NaN where all chains
        diverged; and scalars: the energy
        gap mean f(z⁺) − mean f(z⁻) (nats; near 0 while the chain keeps up), the chain's
        displacement, gradient norm and acceptance, the share of chains that diverged
        (no negatives then) and the first step at which one did, 0 where none,
        the mean over dimensions of variance and excess kurtosis of z⁺ and z⁻, and how
        far their means lie apart (in sd of z⁺; √(2/B) where they are equal), those of
        z⁺ with ``weights``. Then the memory, with the chains that were continued where
        they are now.
    """
    positives = jax.lax.stop_gradient(positives)
    prior = family.bind(jax.lax.stop_gradient(params), positives.shape[-1])
    start_key, run_key = jax.random.split(rng_key)
    if family.start == "persistent":
        rows, start = _continued(start_key, memory[0], prior.reference, len(positives))
    elif family.start == "posterior":
        start = positives
    else:
        start = prior.reference.sample(start_key, len(positives))
    negatives, run = _negatives(family, params, prior, run_key, start)
    if family.start == "persistent":
        memory = (memory[0].at[rows].set(negatives),)
    # A chain that diverged stayed where it was: no draw of the prior. Where all did
    # there is no contrast: f would rise without an end, and no chain come back.
    holds = (run.first_bad_step == 0).astype(jnp.float32)
    some = holds.sum()
    loss = energy_contrast(
        params, positives, negatives, tilt=family.tilt, weights=weights,
        negative_weights=holds / jnp.maximum(some, 1.0),
    )  # fmt: skip
    loss = jnp.where(some > 0, loss, jnp.nan)
    of_positives, of_negatives = moments(positives, weights), moments(negatives)
    metrics = {
        "energy_gap": -loss,
        "langevin/displacement": run.displacement.mean(),
        "langevin/gradient_norm": run.gradient_norm.mean(),
        "langevin/acceptance": run.acceptance.mean(),
        "langevin/diverged": 1 - some / len(holds),
        "langevin/first_bad_step": jnp.where(
            some < len(holds),
            jnp.where(holds > 0, family.num_steps, run.first_bad_step).min(),
            0,
        ).astype(jnp.float32),
        "moments/mean_gap": moment_gap(of_negatives, of_positives).mean,
        "moments/variance_positive": of_positives.variance.mean(),
        "moments/variance_negative": of_negatives.variance.mean(),
        "moments/kurtosis_positive": of_positives.kurtosis.mean(),
        "moments/kurtosis_negative": of_negatives.kurtosis.mean(),
    }
    if family.magnitude_penalty:
        draws = jnp.concatenate([positives, negatives])
        magnitude = energy_magnitude(params, draws, tilt=family.tilt)
        loss = loss + family.magnitude_penalty * magnitude
    return loss, metrics, *memory


def _negatives(
    family: EnergyFamily,
    params: Params,
    prior: EnergyTiltedPrior,
    rng_key: jax.Array,
    start: Float[Array, "batch latent"],
) -> tuple[Float[Array, "batch latent"], LangevinRun]:
    """Where the chains end; where they start, if that is the prior's law already."""

    def run(num_steps: int) -> tuple[jax.Array, LangevinRun]:
        settings = dataclasses.replace(family.langevin, num_steps=num_steps)
        return run_langevin(rng_key, prior.log_density, start, settings)

    if family.start != "reference" or family.confinement:
        return run(family.num_steps)
    # Before ``prior_start_step`` chains would cost more than all else of a step.
    return jax.lax.cond(
        family.is_flat(params), lambda: run(0), lambda: run(family.num_steps)
    )


def _continued(
    rng_key: jax.Array, chains: Chains, reference: Prior, num: int
) -> tuple[jax.Array, Float[Array, "batch latent"]]:
    """``num`` different rows of the chains, and where those go on from."""
    if num > len(chains):
        raise ValueError(
            f"`positives` are {num:,}, expected at most {len(chains):,}: one of the "
            "chains that persist for each"
        )
    row_key, restart_key, fresh_key = jax.random.split(rng_key, 3)
    rows = jax.random.choice(row_key, len(chains), (num,), replace=False)
    restarts = jax.random.bernoulli(restart_key, RESTART_SHARE, (num, 1))
    fresh = reference.sample(fresh_key, num)
    return rows, jnp.where(restarts, fresh, chains[rows])
