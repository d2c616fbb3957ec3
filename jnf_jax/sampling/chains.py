"""Run an ensemble of chains in one traced program; tell whether to trust it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jnf_jax.sampling.chain_settings import ChainSettings
from jnf_jax.sampling.hmc import ContextualLogDensity, build_ensemble

RHAT_LIMIT = 1.05
"""Above it a (datum, dimension) counts as not converged."""


class ChainInfo(NamedTuple):
    """What happened along the chains, per chain and datum.

    Attributes:
        step_size: f32[].
        acceptance: mean acceptance probability, f32[R, B].
        divergences: number of divergent transitions, i32[R, B].
        first_divergence: the first of them, counted from 1; 0: none. i32[R, B].
        non_finite: number of proposals without a finite energy, i32[R, B].
        num_leapfrog: gradient evaluations in all, i32[R, B].
        displacement: root mean square distance from the start a dimension, f32[R, B].
        num_transitions: T, i32[].
    """

    step_size: Float[Array, ""]
    acceptance: Float[Array, "chains data"]
    divergences: Int[Array, "chains data"]
    first_divergence: Int[Array, "chains data"]
    non_finite: Int[Array, "chains data"]
    num_leapfrog: Int[Array, "chains data"]
    displacement: Float[Array, "chains data"]
    num_transitions: Int[Array, ""]


def run_chains(
    rng_key: jax.Array,
    log_density: ContextualLogDensity,
    context: Any,
    initial_position: Float[Array, "chains data latent"],
    step_size: float | Float[Array, ""],
    settings: ChainSettings,
    inverse_mass: Float[Array, "data latent"] | None = None,
    keep: bool = False,
) -> tuple[
    Float[Array, "chains data latent"],
    ChainInfo,
    Float[Array, "transitions chains data latent"] | None,
]:
    """``settings.num_transitions`` transitions of R chains for each of B data.

    ``scan`` over transitions, ``vmap`` over chains and data, no host transfer. Not
    jitted here: call it inside the caller's jit, with ``settings`` and ``keep`` static.

    Args:
        rng_key: for the transitions.
        log_density: (z f32[D], context_i) -> f32[], nats, up to a constant.
        context: pytree with leading axis B, one datum's slice for each density.
        initial_position: z^(0), f32[R, B, D].
        step_size: of the leapfrog steps, see ``adapt_step_size``.
        settings: see ``ChainSettings``.
        inverse_mass: diagonal inverse mass matrices, f32[B, D], None for ones.
        keep: whether to return every position.

    Returns:
        Last positions f32[R, B, D]; ``ChainInfo``; draws f32[T, R, B, D], or None
        unless ``keep``.

    >>> log_density = lambda z, mean: -0.5 * ((z - mean) ** 2).sum()
    >>> z, info, _ = run_chains(
    ...     jax.random.key(0), log_density, jnp.zeros((3, 2)), jnp.zeros((4, 3, 2)),
    ...     0.5, ChainSettings(num_transitions=5))
    >>> z.shape, info.acceptance.shape
    ((4, 3, 2), (4, 3))
    """
    ensemble = build_ensemble(log_density, context, settings, inverse_mass)
    init_key, run_key = jax.random.split(rng_key)
    step_size = jnp.asarray(step_size)

    def transition(carry, numbered):
        number, rng_key = numbered
        state, acceptance, first, counts = carry
        state, info = ensemble.step(rng_key, state, step_size)
        first = jnp.where(info.is_divergent & (first == 0), number, first)
        seen = (info.is_divergent, ~info.is_finite, info.num_leapfrog)
        counts = tuple(
            c + new.astype(c.dtype) for c, new in zip(counts, seen, strict=True)
        )
        carry = state, acceptance + info.acceptance, first, counts
        return carry, state.position if keep else None

    shape = initial_position.shape[:2]
    carry = (
        ensemble.init(init_key, initial_position),
        jnp.zeros(shape),
        jnp.zeros(shape, jnp.int32),
        (jnp.zeros(shape, jnp.int32),) * 3,
    )
    numbered = (
        jnp.arange(1, settings.num_transitions + 1, dtype=jnp.int32),
        jax.random.split(run_key, settings.num_transitions),
    )
    (state, acceptance, first, counts), draws = jax.lax.scan(
        transition, carry, numbered
    )
    moved = jnp.square(state.position - initial_position).mean(-1)
    info = ChainInfo(
        step_size=step_size,
        acceptance=acceptance / settings.num_transitions,
        divergences=counts[0],
        first_divergence=first,
        non_finite=counts[1],
        num_leapfrog=counts[2],
        displacement=jnp.sqrt(moved),
        num_transitions=jnp.asarray(settings.num_transitions),
    )
    return state.position, info, draws


def burn_and_keep(
    burn_key: jax.Array,
    run_key: jax.Array,
    log_density: ContextualLogDensity,
    context: Any,
    initial_position: Float[Array, "chains data latent"],
    step_size: float | Float[Array, ""],
    settings: ChainSettings,
    inverse_mass: Float[Array, "data latent"] | None = None,
) -> tuple[ChainInfo, Float[Array, "transitions chains data latent"]]:
    """Runs ``settings.num_transitions`` twice, and keeps the second half.

    Arguments are those of ``run_chains``; how the second half did, and its draws.
    """
    of_all = (step_size, settings, inverse_mass)
    position, _, _ = run_chains(
        burn_key, log_density, context, initial_position, *of_all
    )
    _, info, draws = run_chains(
        run_key, log_density, context, position, *of_all, keep=True
    )
    return info, draws


class ChainDiagnostics(NamedTuple):
    """Convergence of z AND z^2, per datum and dimension, with summaries.

    R-hat is rank-normalised and split, the larger of its bulk and folded versions; ESS
    is the bulk one (arXiv 1903.08008). z^2 is monitored too because chains that
    resonate have right means and wrong variances. A chain that never moved has no
    R-hat (NaN), which counts as not converged, and an ESS of 0.

    Attributes:
        rhat, rhat_squared: of z and z^2, f32[B, D].
        ess, ess_squared: of z and z^2, in draws, f32[B, D].
        rhat_max, rhat_median: over data, dimensions, z and z^2, f32[].
        ess_min, ess_median: the same, f32[].
        share_unconverged: share of (datum, dimension) with an R-hat of z or z^2 above
            ``RHAT_LIMIT``, f32[].
        num_draws: R T, i32[].
    """

    rhat: Float[Array, "data latent"]
    rhat_squared: Float[Array, "data latent"]
    ess: Float[Array, "data latent"]
    ess_squared: Float[Array, "data latent"]
    rhat_max: Float[Array, ""]
    rhat_median: Float[Array, ""]
    ess_min: Float[Array, ""]
    ess_median: Float[Array, ""]
    share_unconverged: Float[Array, ""]
    num_draws: Int[Array, ""]


def diagnose(
    draws: Float[Array, "transitions chains data latent"],
) -> ChainDiagnostics:
    """Split R-hat and bulk ESS of z and z^2.

    Args:
        draws: f32[T, R, B, D] as kept by ``run_chains``, from over-dispersed starts,
            the burn-in cut off by the caller.

    Raises:
        ValueError: fewer than 4 draws a chain, or fewer than 2 chains.
    """
    import blackjax

    num_draws, num_chains, *shape = draws.shape
    if num_draws < 4 or num_chains < 2:
        raise ValueError(
            f"draws: got {num_draws} draws of {num_chains} chains, expected at least 4 "
            "of at least 2"
        )
    # BlackJAX squeezes axes of length one away and NaN draws make NaN; put shapes back.
    columns = draws.reshape(num_draws, num_chains, -1)
    both = jnp.concatenate([columns, columns**2], axis=-1)
    axes = {"chain_axis": 1, "sample_axis": 0}
    rhat = blackjax.rhat(both, **axes).reshape(2, *shape)
    ess = blackjax.ess_bulk(both, **axes).reshape(2, *shape)
    worst = rhat.max(0)  # NaN if either is
    return ChainDiagnostics(
        rhat=rhat[0],
        rhat_squared=rhat[1],
        ess=ess[0],
        ess_squared=ess[1],
        rhat_max=worst.max(),
        rhat_median=jnp.nanmedian(rhat),
        ess_min=ess.min(),
        ess_median=jnp.nanmedian(ess),
        share_unconverged=jnp.mean(~(worst <= RHAT_LIMIT)),
        num_draws=jnp.asarray(num_draws * num_chains),
    )


def warnings(diagnostics: ChainDiagnostics, info: ChainInfo | None = None) -> list[str]:
    """What a person should know before trusting the draws; empty when all is well.

    Args:
        diagnostics: see ``diagnose``; concrete values, not inside jit.
        info: of the same chains, for acceptance and divergences too.

    Returns:
        Sentences, to be printed.
    """
    found = []
    share = float(diagnostics.share_unconverged)
    if share > 0.01:
        found.append(
            f"R-hat of z or z² exceeds {RHAT_LIMIT} in {share:.1%} of (datum, "
            f"dimension) pairs (largest {float(diagnostics.rhat_max):.3g}): the chains "
            "disagree; run more transitions, or another kernel."
        )
    median, total = float(diagnostics.ess_median), int(diagnostics.num_draws)
    if not median >= 0.05 * total:
        found.append(
            f"Median effective sample size {median:.3g} of {total} draws: the chains "
            "move slowly; run more transitions, or adapt step size and mass."
        )
    if info is None:
        return found
    acceptance = float(info.acceptance.mean())
    if not 0.5 <= acceptance <= 0.98:
        found.append(
            f"Mean acceptance {acceptance:.2f} at step size {float(info.step_size):.3g}"
            ": adapt the step size to this subset (0.6 to 0.9 is usual)."
        )
    transitions = float(info.num_transitions) * info.acceptance.size
    divergent = float(info.divergences.sum()) / transitions
    if divergent > 0.01:
        found.append(
            f"{divergent:.1%} of the transitions diverged "
            f"({float(info.non_finite.sum()) / transitions:.1%} non-finite): the "
            "target may be improper (experts broader than the prior) or the step too "
            "large."
        )
    return found
