"""Run an ensemble of chains in one traced program; tell whether to trust it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jnf_jax.sampling.chain_settings import ChainSettings
from jnf_jax.sampling.hmc import (
    ContextualLogDensity,
    InverseMass,
    Positions,
    build_ensemble,
)

Path = Float[Array, "transitions chains data latent"]
"""Every position of chains, f32[T, R, B, D]."""

RHAT_LIMIT = 1.05
"""Above it a (datum, dimension) counts as not converged."""

GROWTH_LIMIT = 1.25
"""Ratio of mean ‖z‖² in the second half of chains to that in the first above which they
count as growing. Halves of a hundred independent draws of N(0, I) in 16 dimensions are
4 standard errors from it."""


class ChainInfo(NamedTuple):
    """How R chains for each of B data went.

    Attributes:
        step_size: The leapfrog step.
        acceptance: Mean acceptance probability.
        divergences: Number of divergent transitions.
        first_divergence: The first of them, counted from 1; 0: none.
        non_finite: Number of proposals without a finite energy.
        num_leapfrog: Gradient evaluations in all.
        displacement: Root mean square distance from the start a dimension.
        num_transitions: T.
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
    initial_position: Positions,
    step_size: float | Float[Array, ""],
    settings: ChainSettings,
    inverse_mass: InverseMass = None,
    keep: bool = False,
) -> tuple[Positions, ChainInfo, Path | None]:
    """``settings.num_transitions`` transitions of R chains for each of B data.

    ``scan`` over transitions, ``vmap`` over chains and data, no host transfer. Not
    jitted here: call it inside the caller's jit, with ``settings`` and ``keep`` static.

    Args:
        rng_key: Typed key of the transitions.
        log_density: (z f32[D], context_i) -> f32[], nats, up to a constant.
        context: Pytree with leading axis B, one datum's slice for each density.
        initial_position: z^(0), f32[R, B, D].
        step_size: The leapfrog step, see ``adapt_step_size``.
        settings: See ``ChainSettings``.
        inverse_mass: Diagonal inverse mass matrices, f32[B, D], None for ones.
        keep: Whether to return every position too, f32[T, R, B, D]; None otherwise.

    >>> log_density = lambda z, mean: -0.5 * ((z - mean) ** 2).sum()
    >>> z, info, _ = run_chains(
    ...     jax.random.key(0), log_density, jnp.zeros((3, 2)), jnp.zeros((4, 3, 2)),
    ...     0.5, ChainSettings(num_transitions=5))
    >>> z.shape, info.acceptance.shape
    ((4, 3, 2), (4, 3))
    """
    init, step = build_ensemble(log_density, context, settings, inverse_mass)
    init_key, run_key = jax.random.split(rng_key)
    step_size = jnp.asarray(step_size)

    def transition(carry, numbered):
        (state, totals, first), (number, rng_key) = carry, numbered
        state, info = step(rng_key, state, step_size)
        seen = info.acceptance, info.is_divergent, ~info.is_finite, info.num_leapfrog
        totals = [t + new.astype(t.dtype) for t, new in zip(totals, seen, strict=True)]
        first = jnp.where(info.is_divergent & (first == 0), number, first)
        return (state, totals, first), state.position if keep else None

    shape, num = initial_position.shape[:2], settings.num_transitions
    count = jnp.zeros(shape, jnp.int32)
    start = init(init_key, initial_position)
    (state, totals, first), draws = jax.lax.scan(
        transition,
        (start, [jnp.zeros(shape), count, count, count], count),
        (jnp.arange(1, num + 1, dtype=jnp.int32), jax.random.split(run_key, num)),
    )
    acceptance, divergences, non_finite, num_leapfrog = totals
    moved = jnp.square(state.position - initial_position).mean(-1)
    info = ChainInfo(
        step_size=step_size,
        acceptance=acceptance / num,
        divergences=divergences,
        first_divergence=first,
        non_finite=non_finite,
        num_leapfrog=num_leapfrog,
        displacement=jnp.sqrt(moved),
        num_transitions=jnp.asarray(num),
    )
    return state.position, info, draws


def burn_and_keep(
    burn_key: jax.Array,
    run_key: jax.Array,
    log_density: ContextualLogDensity,
    context: Any,
    initial_position: Positions,
    step_size: float | Float[Array, ""],
    settings: ChainSettings,
    inverse_mass: InverseMass = None,
) -> tuple[ChainInfo, Path]:
    """Runs ``settings.num_transitions`` twice, and keeps the second half.

    Arguments are those of ``run_chains``; how the second half did, and its draws.
    """
    target, how = (log_density, context), (step_size, settings, inverse_mass)
    position, _, _ = run_chains(burn_key, *target, initial_position, *how)
    _, info, draws = run_chains(run_key, *target, position, *how, keep=True)
    return info, draws


class ChainDiagnostics(NamedTuple):
    """Convergence of z AND z², per datum and dimension, with summaries over all.

    R-hat is rank-normalised and split, the larger of its bulk and folded versions; ESS
    is the bulk one, in draws (arXiv 1903.08008). z² is monitored too because chains
    that resonate have right means and wrong variances. A chain that never moved has no
    R-hat (NaN), which counts as not converged, and an ESS of 0. ``share_unconverged``
    is that of (datum, dimension) pairs where R-hat of z or z² exceeds ``RHAT_LIMIT``;
    ``num_draws`` is R T. ``growth`` is mean ‖z‖² of a datum's chains in their second
    half over that in their first, and ``share_growing`` the share of data above
    ``GROWTH_LIMIT``: a density that is none is left by its tails, whatever its bulk
    looks like.
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
    growth: Float[Array, " data"]
    share_growing: Float[Array, ""]
    num_draws: Int[Array, ""]


def diagnose(draws: Path) -> ChainDiagnostics:
    """Split R-hat and bulk ESS of z and z² from draws that ``run_chains`` kept.

    The chains start over-dispersed; the caller cuts off their burn-in.

    Raises:
        ValueError: If there are fewer than 4 draws a chain, or fewer than 2 chains.
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
    norms = jnp.square(draws).sum(-1).mean(1)
    half = num_draws // 2
    growth = norms[-half:].mean(0) / norms[:half].mean(0)
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
        growth=growth,
        share_growing=jnp.mean(~(growth <= GROWTH_LIMIT)),
        num_draws=jnp.asarray(num_draws * num_chains),
    )


def warnings(diagnostics: ChainDiagnostics, info: ChainInfo | None = None) -> list[str]:
    """Sentences to print before anybody trusts the draws; none when all is well.

    On the host, after the run; acceptance and divergences are judged where the
    ``info`` of the same chains is given.
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
