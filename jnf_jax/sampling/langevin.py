"""Langevin dynamics, unadjusted and Metropolis-adjusted, as kernels and as short runs.

The update, in BlackJAX's convention (the step size is ε throughout), with the diagonal
mass M, which is the identity where none is given::

    z' = z + ε M⁻¹ ∇log p(z) + √(2ε) M^{-1/2} ξ,    ξ ~ N(0, I)

Papers on energy-based priors (arXiv 2006.08205, 2409.19862) write
z' = z + (s²/2) ∇log p(z) + s ξ, which is the same with ε = s²/2: their s = 0.4 is our
ε = 0.08. Their s is the step δ of one leapfrog step too, which is how ``hmc.py`` counts
for all of its kernels. Unadjusted, the stationary law is biased: N(0, 1) is sampled
with variance 1/(1 − ε/2). "mala" (BlackJAX's) accepts z' with the Metropolis–Hastings
probability and has the exact law at any ε.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jnf_jax.options import option

if TYPE_CHECKING:
    import blackjax

LogDensity = Callable[[jax.Array], jax.Array]
"""z f32[D] -> log-density f32[], nats, up to a constant."""

LANGEVIN_KERNELS = ("ula", "mala")

ENERGY_RISE_LIMIT = 1_000.0
"""Nats, beside one a dimension, that a chain may climb before it counts as diverged."""

LEAST_ACCEPTANCE = 0.1
"""Mean Metropolis acceptance below which chains count as stuck where they started."""


@dataclasses.dataclass(frozen=True)
class LangevinSettings:
    """A run of fixed length; hashable, hence static under jit."""

    kernel: str = option(
        "ula", '"ula" (no correction) or "mala".', one_of=LANGEVIN_KERNELS
    )
    num_steps: int = option(60, "T; 0 returns the start.", at_least=0)
    step_size: float = option(
        0.08, "ε of the update above; a paper's s is ε = s²/2.", above=0
    )


class LangevinState(NamedTuple):
    """Where one chain is: position f32[D], log-density f32[], its gradient f32[D]."""

    position: Float[Array, " latent"]
    logdensity: Float[Array, ""]
    logdensity_grad: Float[Array, " latent"]


class LangevinInfo(NamedTuple):
    """How one step went.

    Attributes:
        energy: −log p(z') up to a constant, nats.
        gradient_norm: ‖∇log p(z)‖ where the step began.
        displacement: ‖z' − z‖.
        acceptance: Metropolis acceptance probability; 1 for "ula".
        is_finite: Whether everything at the new position was finite.
    """

    energy: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    displacement: Float[Array, ""]
    acceptance: Float[Array, ""]
    is_finite: Bool[Array, ""]


def init(position: Float[Array, " latent"], logdensity_fn: LogDensity) -> LangevinState:
    """The state of a chain that starts at ``position``."""
    return LangevinState(position, *jax.value_and_grad(logdensity_fn)(position))


def build_kernel(kernel: str = "ula") -> Callable:
    """``kernel(rng_key, state, logdensity_fn, step_size) -> (state, LangevinInfo)``.

    "ula" takes an ``inverse_mass`` behind these, f32[D] or a number.

    Raises:
        ValueError: If the kernel is unknown.

    >>> step = build_kernel()
    >>> state = init(jnp.ones(2), lambda z: -0.5 * (z**2).sum())
    >>> state, info = step(jax.random.key(0), state, lambda z: -0.5 * (z**2).sum(), 0.1)
    >>> float(info.acceptance)
    1.0
    """
    if kernel not in LANGEVIN_KERNELS:
        raise ValueError(f"`kernel` is {kernel!r}, expected one of {LANGEVIN_KERNELS}")
    move = _adjusted() if kernel == "mala" else _unadjusted

    def step(rng_key, state, logdensity_fn, step_size, *inverse_mass):
        new, acceptance = move(rng_key, state, logdensity_fn, step_size, *inverse_mass)
        return new, LangevinInfo(
            energy=-new.logdensity,
            gradient_norm=jnp.linalg.norm(state.logdensity_grad),
            displacement=jnp.linalg.norm(new.position - state.position),
            acceptance=acceptance,
            is_finite=jnp.isfinite(new.logdensity)
            & jnp.isfinite(new.logdensity_grad).all()
            & jnp.isfinite(new.position).all(),
        )

    return step


def _unadjusted(rng_key, state, logdensity_fn, step_size, inverse_mass=1.0):
    noise = jax.random.normal(rng_key, state.position.shape, state.position.dtype)
    drift = step_size * inverse_mass * state.logdensity_grad
    spread = jnp.sqrt(2 * step_size) * jnp.sqrt(inverse_mass)
    return init(state.position + drift + spread * noise, logdensity_fn), jnp.ones(())


def _adjusted():
    import blackjax
    from blackjax.mcmc.mala import MALAState

    mala = blackjax.mala.build_kernel()

    def move(rng_key, state, logdensity_fn, step_size):
        new, info = mala(rng_key, MALAState(*state), logdensity_fn, step_size)
        return LangevinState(*new), jnp.nan_to_num(info.acceptance_rate)

    return move


def as_top_level_api(
    logdensity_fn: LogDensity, step_size: float, kernel: str = "ula"
) -> "blackjax.base.SamplingAlgorithm":
    """``init(position)`` and ``step(rng_key, state)`` of a chain on one density.

    >>> chain = as_top_level_api(lambda z: -0.5 * (z**2).sum(), 0.1)
    >>> state, info = chain.step(jax.random.key(0), chain.init(jnp.zeros(2)))
    >>> state.position.shape
    (2,)
    """
    import blackjax

    step = build_kernel(kernel)
    return blackjax.base.SamplingAlgorithm(
        lambda position, rng_key=None: init(position, logdensity_fn),
        lambda rng_key, state: step(rng_key, state, logdensity_fn, step_size),
    )


class LangevinRun(NamedTuple):
    """How each of N chains went.

    Attributes:
        energy: −log p at the end, nats up to a constant.
        gradient_norm: ‖∇log p‖, mean over steps.
        displacement: ‖z^(T) − z^(0)‖.
        acceptance: Mean over steps, 1 where there were none.
        first_bad_step: Step (counted from 1) at which the chain diverged; 0: never.
    """

    energy: Float[Array, " chains"]
    gradient_norm: Float[Array, " chains"]
    displacement: Float[Array, " chains"]
    acceptance: Float[Array, " chains"]
    first_bad_step: Int[Array, " chains"]


def run_langevin(
    rng_key: jax.Array,
    log_density: LogDensity,
    initial_position: Float[Array, "chains latent"],
    settings: LangevinSettings,
) -> tuple[Float[Array, "chains latent"], LangevinRun]:
    """``settings.num_steps`` steps of N chains; traceable, one scan.

    Whether the run is short-run, persistent or warm-started is a matter of where it
    starts: draws of a reference, the last positions of the run before, or draws of a
    posterior. A chain diverges where a number is no longer finite, or where its energy
    is 1,000 nats + D above its start (noise around a mode costs about D/2); it then
    stays where it was before that step, and ``first_bad_step`` tells.

    Args:
        rng_key: Typed key.
        log_density: z f32[D] -> f32[], nats.
        initial_position: z^(0), f32[N, D].
        settings: Kernel, number of steps, step size.

    Returns:
        z^(T) f32[N, D], always finite where the start was, and ``LangevinRun``.
    """
    every = max(settings.num_steps, 1)
    path, run = langevin_path(rng_key, log_density, initial_position, settings, every)
    return path[-1], run


def langevin_path(
    rng_key: jax.Array,
    log_density: LogDensity,
    initial_position: Float[Array, "chains latent"],
    settings: LangevinSettings,
    every: int,
) -> tuple[Float[Array, "snapshots chains latent"], LangevinRun]:
    """As ``run_langevin``, but where the chains were after 0, e, 2e, …, T steps.

    Raises:
        ValueError: If T is no multiple of e, which is ``every``.
    """
    if every < 1 or settings.num_steps % every:
        raise ValueError(
            f"`every` is {every}, expected a divisor of num_steps = "
            f"{settings.num_steps}"
        )
    kernel = build_kernel(settings.kernel)
    latent_size = initial_position.shape[-1]

    def one_chain(rng_key, position):
        start = init(position, log_density)
        limit = -start.logdensity + ENERGY_RISE_LIMIT + latent_size

        def step(carry, number):
            state, first_bad, totals = carry
            key = jax.random.fold_in(rng_key, number)
            new, info = kernel(key, state, log_density, settings.step_size)
            is_bad = ~info.is_finite | (info.energy > limit)
            stays = (first_bad > 0) | is_bad
            state = jax.tree.map(functools.partial(jnp.where, stays), state, new)
            first_bad = jnp.where((first_bad == 0) & is_bad, number, first_bad)
            seen = (info.gradient_norm, info.acceptance)
            totals = jax.tree.map(jnp.add, totals, seen)
            return (state, first_bad, totals), None

        def snapshot(carry, numbers):
            carry, _ = jax.lax.scan(step, carry, numbers)
            return carry, carry[0].position

        numbers = jnp.arange(1, settings.num_steps + 1).reshape(-1, every)
        carry = start, jnp.int32(0), (jnp.zeros(()), jnp.zeros(()))
        (state, first_bad, totals), path = jax.lax.scan(snapshot, carry, numbers)
        steps = max(settings.num_steps, 1)
        return jnp.concatenate([position[None], path]), LangevinRun(
            energy=-state.logdensity,
            gradient_norm=totals[0] / steps,
            displacement=jnp.linalg.norm(state.position - position),
            acceptance=totals[1] / steps if settings.num_steps else jnp.ones(()),
            first_bad_step=first_bad,
        )

    rng_keys = jax.random.split(rng_key, initial_position.shape[0])
    path, run = jax.vmap(one_chain)(rng_keys, initial_position)
    return jnp.swapaxes(path, 0, 1), run


def divergence(run: LangevinRun, settings: LangevinSettings) -> str | None:
    """Tells in words that the step size was too large; None if it was not.

    Chains then diverge or, with "mala", which rejects such steps and NaN alike, stay
    where they started: the acceptance tells. On the host, after the run.
    """
    said = f"`step_size` {settings.step_size:g} of {settings.kernel!r} is too large:"
    bad = run.first_bad_step > 0
    if count := int(bad.sum()):
        return (
            f"{said} {count} of {len(bad)} chains diverged, the first at step "
            f"{int(run.first_bad_step[bad].min())} of {settings.num_steps}"
        )
    acceptance = float(run.acceptance.mean())
    if not acceptance < LEAST_ACCEPTANCE:
        return None
    return f"{said} mean acceptance {acceptance:.2g}, expected >= {LEAST_ACCEPTANCE}"


def check_run(run: LangevinRun, settings: LangevinSettings) -> None:
    """Raises as ValueError what ``divergence`` says, if anything."""
    if said := divergence(run, settings):
        raise ValueError(said)
