"""Long chains on an unnormalised density: does it have the moments of short runs?

What short-run Langevin has taught a model is the law of T steps from the reference;
exp(f) p_0 itself may be another. Before that density is used as one (in the exponent of
a subset's product, as the target of posterior chains) its moments are to be looked at.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.sampling import (
    ChainDiagnostics,
    ChainSettings,
    adapt_step_size,
    burn_and_keep,
    diagnose,
)

MALA = ChainSettings(
    kernel="hmc", num_leapfrog=1, num_transitions=2_500, target_acceptance=0.57
)
"""One leapfrog step a transition is MALA; 2,500 steps are burnt, then 2,500 kept."""

THINNING = 10
"""Every tenth of the steps that are kept is a draw."""


class LongRun(NamedTuple):
    """Draws of long chains, and how the chains did.

    Attributes:
        draws: f32[T, R, D], the burn-in cut off, thinned.
        acceptance: Mean over chains and steps, f32[].
        diagnostics: R-hat and effective sample size of z and z² over the draws.
    """

    draws: Float[Array, "draws chains latent"]
    acceptance: Float[Array, ""]
    diagnostics: ChainDiagnostics


def long_run(
    rng_key: jax.Array,
    log_density: Callable[[jax.Array], jax.Array],
    start: Float[Array, "chains latent"],
    settings: ChainSettings = MALA,
) -> LongRun:
    """Runs R Metropolis-adjusted chains, hence of the law of the density; traceable.

    The step size is adapted to the acceptance that ``settings`` name, and all chains
    run ``settings.num_transitions`` steps twice; the second half is kept.

    Args:
        rng_key: Typed key.
        log_density: z f32[D] -> f32[], nats, up to a constant.
        start: f32[R, D]; from different laws, so that R-hat tells whether modes are
            left.
        settings: Of the chains.
    """
    adapt_key, burn_key, run_key = jax.random.split(rng_key, 3)
    chains = (
        lambda z, _: log_density(z),
        jnp.zeros((1, 0)),  # one datum, of which nothing is known
        start[:, None, :],
    )
    step_size = adapt_step_size(adapt_key, *chains, settings)
    info, draws = burn_and_keep(burn_key, run_key, *chains, step_size, settings)
    draws = draws[THINNING - 1 :: THINNING]
    return LongRun(draws[:, :, 0], info.acceptance.mean(), diagnose(draws))
