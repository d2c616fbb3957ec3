"""One chain's transitions: BlackJAX's HMC kernels, and unadjusted Langevin beside them.

All have the signature of BlackJAX's HMC. ``hmc.py`` runs them over an ensemble.
"""

from collections.abc import Callable

import blackjax
import jax
import jax.numpy as jnp
from blackjax.mcmc.dynamic_hmc import DynamicHMCState
from blackjax.mcmc.hmc import HMCInfo, HMCState

from jnf_jax.sampling.chain_settings import DIVERGENCE_LIMIT, ChainSettings


def build_kernel(
    settings: ChainSettings,
) -> tuple[Callable, HMCState | DynamicHMCState]:
    """A kernel with BlackJAX's signature of HMC, and its state's batch axes."""
    if settings.kernel == "ula":
        return _unadjusted_step, HMCState(0, 0, 0)
    if settings.kernel == "nuts":
        nuts = blackjax.nuts.build_kernel()
        kernel = lambda *args: nuts(*args, max_num_doublings=settings.max_doublings)  # noqa: E731
        return kernel, HMCState(0, 0, 0)
    if settings.kernel == "hmc":
        hmc = blackjax.hmc.build_kernel()
        kernel = lambda *args: hmc(*args, settings.num_leapfrog)  # noqa: E731
        return kernel, HMCState(0, 0, 0)
    kernel = blackjax.dynamic_hmc.build_kernel(
        integration_steps_fn=lambda key: jax.random.randint(
            key, (), settings.min_leapfrog, settings.max_leapfrog + 1
        )
    )
    # The length's generator has no batch axis: one length a transition, so that the
    # leapfrog loop is not run to the longest of R x B lengths with most chains masked.
    return kernel, DynamicHMCState(0, 0, 0, None)


def _unadjusted_step(rng_key, state, log_density, step_size, inverse_mass):
    """One leapfrog step δ that no Metropolis test follows.

    ::

        z' = z + (δ²/2) M⁻¹ ∇log p(z) + δ M^{-1/2} ξ,    ξ ~ N(0, I)

    With M = I that is Langevin as papers on energies write it, δ being their s. Where
    the new density or its gradient is not finite the chain stays.
    """
    noise = jax.random.normal(rng_key, state.position.shape)
    drift = 0.5 * step_size**2 * inverse_mass * state.logdensity_grad
    position = state.position + drift + step_size * jnp.sqrt(inverse_mass) * noise
    new = blackjax.hmc.init(position, log_density)
    is_finite = jnp.isfinite(new.logdensity) & jnp.isfinite(new.logdensity_grad).all()
    energy = jnp.where(is_finite, -new.logdensity, jnp.inf)
    info = HMCInfo(
        momentum=None,
        acceptance_rate=1.0,
        is_accepted=is_finite,
        is_divergent=energy + state.logdensity > DIVERGENCE_LIMIT,
        energy=energy,
        proposal=None,
        num_integration_steps=1,
    )
    return jax.tree.map(lambda n, old: jnp.where(is_finite, n, old), new, state), info


def init(
    rng_key: jax.Array,
    position: jax.Array,
    log_density: Callable,
    settings: ChainSettings,
) -> HMCState | DynamicHMCState:
    """The state of a chain that starts at ``position``, f32[D]."""
    if settings.kernel == "dynamic_hmc":
        return blackjax.dynamic_hmc.init(position, log_density, rng_key)
    return blackjax.hmc.init(position, log_density)
