"""BlackJAX's HMC kernels, and unadjusted Langevin, over an ensemble: chains x data.

All share one step size, that of a leapfrog step δ; Langevin's ε is δ²/2.

Positions are f32[R, B, D]: R chains for each of B data. A density is called as
``log_density(z f32[D], context_i) -> f32[]`` where ``context_i`` is one datum's slice
of ``context``, a pytree with leading axis B: encoders have run already, once.

BlackJAX is imported where a chain is built, here and beside this file: a trainer that
runs no chain need not wait for it and the SciPy that it brings (docs/speed.md).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jnf_jax.options import require
from jnf_jax.sampling import langevin
from jnf_jax.sampling.chain_settings import DIVERGENCE_LIMIT, ChainSettings

ContextualLogDensity = Callable[[jax.Array, Any], jax.Array]
"""(z f32[D], one datum's context) -> log-density f32[], nats, up to a constant."""

Positions = Float[Array, "chains data latent"]
InverseMass = Float[Array, "data latent"] | None
"""The diagonal for each datum, ideally the target's variances; None for ones."""


STEP_JITTER = 0.1
"""Share by which the steps of "dynamic_hmc" are longer or shorter at random."""


LEAST_SEEN = 1e-3
"""Acceptance of a transition below which it says nothing about the step of others."""

SETTLED_GAMMA = 1.0
"""γ of dual averaging once chains and step have settled. With the usual .05 the log of
the step swings by ±3 where all chains share the length of a trajectory, and with it
their acceptance; the mean over such swings is too short a step."""


class TransitionInfo(NamedTuple):
    """How one transition of each chain went.

    Attributes:
        acceptance: Acceptance probability; 0 for a non-finite proposal.
        is_divergent: Whether the energy is off by more than 1,000 nats, or not finite;
            with "ula", which has no such error, whether −log p rose by as much.
        is_finite: Whether the proposal's density and momentum were; for "nuts" those
            of the state that it chose.
        num_leapfrog: Gradient evaluations.
    """

    acceptance: Float[Array, "chains data"]
    is_divergent: Bool[Array, "chains data"]
    is_finite: Bool[Array, "chains data"]
    num_leapfrog: Int[Array, "chains data"]


def build_ensemble(
    log_density: ContextualLogDensity,
    context: Any,
    settings: ChainSettings,
    inverse_mass: InverseMass = None,
) -> tuple[Callable, Callable]:
    """The kernel named in ``settings``, for all chains of all data at once.

    Gives ``init(rng_key, position) -> state`` and ``step(rng_key, state, step_size) ->
    (state, TransitionInfo)``.

    A density of NaN or +inf counts as -inf: a product of experts that is improper may
    run away until it overflows, and must not stay there as "infinitely likely". A
    gradient that is not finite makes the momentum, hence the energy, so: rejected too.

    Raises:
        ValueError: With every fault of the settings.
    """
    require(settings, "settings")
    start, kernel, axes = _kernel_of(settings)

    def guarded(context_i):
        def log_density_i(z):
            value = log_density(z, context_i)
            return jnp.where(jnp.isfinite(value), value, -jnp.inf)

        return log_density_i

    def init_one(rng_key, position, context_i):
        return start(rng_key, position, guarded(context_i))

    def step_one(rng_key, state, context_i, mass_i, step_size):
        new, info = kernel(rng_key, state, guarded(context_i), step_size, mass_i)
        is_finite = jnp.isfinite(info.energy)
        return new, TransitionInfo(
            acceptance=jnp.where(is_finite, info.acceptance_rate, 0.0),
            is_divergent=info.is_divergent | ~is_finite,
            is_finite=is_finite,
            num_leapfrog=jnp.asarray(info.num_integration_steps),
        )

    init_data = jax.vmap(init_one, (None, 0, 0), axes)
    init_all = jax.vmap(init_data, (None, 0, None), axes)
    step_data = jax.vmap(step_one, (0, axes, 0, 0, None), (axes, 0))
    step_all = jax.vmap(step_data, (0, axes, None, None, None), (axes, 0))

    def init(rng_key, position):
        return init_all(rng_key, position, context)

    def step(rng_key, state, step_size):
        shape = state.position.shape
        mass = jnp.ones(shape[1:]) if inverse_mass is None else inverse_mass
        if settings.kernel == "dynamic_hmc":
            jitter_key, rng_key = jax.random.split(rng_key)
            bounds = {"minval": 1 - STEP_JITTER, "maxval": 1 + STEP_JITTER}
            step_size *= jax.random.uniform(jitter_key, (), **bounds)
        rng_keys = jax.random.split(rng_key, shape[:2])
        return step_all(rng_keys, state, context, mass, step_size)

    return init, step


def _kernel_of(settings: ChainSettings) -> tuple[Callable, Callable, Any]:
    """``init(rng_key, position, log_density)`` of one chain, a kernel with BlackJAX's
    signature of HMC, and the batch axes of its state."""
    import blackjax
    from blackjax.mcmc.dynamic_hmc import DynamicHMCState
    from blackjax.mcmc.hmc import HMCState

    if settings.kernel == "dynamic_hmc":
        lengths = settings.min_leapfrog, settings.max_leapfrog + 1
        kernel = blackjax.dynamic_hmc.build_kernel(
            integration_steps_fn=lambda key: jax.random.randint(key, (), *lengths)
        )
        # The length's generator has no batch axis: one length a transition, so that
        # the leapfrog loop is not run to the longest of R x B lengths with most chains
        # masked.
        axes = DynamicHMCState(0, 0, 0, None)
        return lambda key, z, p: blackjax.dynamic_hmc.init(z, p, key), kernel, axes
    if settings.kernel == "ula":
        kernel = _unadjusted_kernel()
    elif settings.kernel == "nuts":
        length = {"max_num_doublings": settings.max_doublings}
        kernel = functools.partial(blackjax.nuts.build_kernel(), **length)
    else:
        length = {"num_integration_steps": settings.num_leapfrog}
        kernel = functools.partial(blackjax.hmc.build_kernel(), **length)
    return lambda key, z, p: blackjax.hmc.init(z, p), kernel, HMCState(0, 0, 0)


def _unadjusted_kernel() -> Callable:
    """``langevin``'s "ula", as an HMC kernel; a chain stays where it would be lost."""
    from blackjax.mcmc.hmc import HMCInfo, HMCState

    ula = langevin.build_kernel("ula")

    def kernel(rng_key, state, log_density, step_size, inverse_mass):
        new, seen = ula(rng_key, state, log_density, 0.5 * step_size**2, inverse_mass)
        energy = jnp.where(seen.is_finite, seen.energy, jnp.inf)
        info = HMCInfo(
            momentum=None,
            acceptance_rate=1.0,
            is_accepted=seen.is_finite,
            is_divergent=energy + state.logdensity > DIVERGENCE_LIMIT,
            energy=energy,
            proposal=None,
            num_integration_steps=1,
        )
        stays = lambda new, old: jnp.where(seen.is_finite, new, old)  # noqa: E731
        return jax.tree.map(stays, HMCState(*new), state), info

    return kernel


def adapt_step_size(
    rng_key: jax.Array,
    log_density: ContextualLogDensity,
    context: Any,
    initial_position: Positions,
    settings: ChainSettings,
    inverse_mass: InverseMass = None,
) -> Float[Array, ""]:
    """One step size for a subset: dual averaging on the ensemble's acceptance.

    ``settings.num_adaptation`` transitions of all chains drive BlackJAX's dual
    averaging (arXiv 1111.4246, section 3.2): half of them from where the chains start,
    half afresh from where these ended, with shorter strides. Ours: what it sees is
    the mean acceptance over the chains that accept with a probability above
    ``LEAST_SEEN``. Those whose product is improper run away and reject: they would pull
    the step size down for all, ten-fold for 30 % of such data. A non-finite proposal
    counts as acceptance 0, and chains that start at a non-finite density or gradient
    are left out.

    Arguments are those of ``run_chains``; without adaptation it is
    ``settings.initial_step_size``.
    """
    if settings.num_adaptation == 0:
        return jnp.asarray(settings.initial_step_size)
    from blackjax.adaptation.step_size import dual_averaging_adaptation

    init, step = build_ensemble(log_density, context, settings, inverse_mass)
    init_key, run_key = jax.random.split(rng_key)
    start = init(init_key, initial_position)
    counted = jnp.isfinite(start.logdensity)
    counted &= jnp.isfinite(start.logdensity_grad).all(-1)

    def run(state, averaging, update, rng_keys):
        def transition(carry, rng_key):
            state, averaging = carry
            state, info = step(rng_key, state, jnp.exp(averaging.log_step_size))
            is_seen = counted & (info.acceptance > LEAST_SEEN)
            typical = jnp.mean(info.acceptance, where=is_seen)
            typical = jnp.nan_to_num(typical)  # where none is
            return (state, update(averaging, typical)), None

        averaging = jax.tree.map(jnp.asarray, averaging)
        return jax.lax.scan(transition, (state, averaging), rng_keys)[0]

    rng_keys = jax.random.split(run_key, settings.num_adaptation)
    half = -(-settings.num_adaptation // 2)
    begin, update, final = dual_averaging_adaptation(settings.target_acceptance)
    averaging = begin(settings.initial_step_size)
    state, averaging = run(start, averaging, update, rng_keys[:half])
    if half == settings.num_adaptation:
        return final(averaging)
    begin, update, final = dual_averaging_adaptation(
        settings.target_acceptance, gamma=SETTLED_GAMMA
    )
    averaging = begin(step_size := final(averaging))
    averaging = averaging._replace(mu=jnp.log(step_size))
    _, averaging = run(state, averaging, update, rng_keys[half:])
    return final(averaging)
