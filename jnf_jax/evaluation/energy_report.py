"""Reports on an energy-based prior beside its draws; see docs/results_schema.md.

Joint coherence by the number of Langevin steps; how the chains did; whether the short
run, the aggregate posterior and long chains on the density agree in their moments; and
a picture of the energy at each.
"""

import dataclasses
import functools
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.evaluation.coherence import draw_and_judge, joint_coherence
from jnf_jax.evaluation.pictures import Picture
from jnf_jax.evaluation.plots import histogram
from jnf_jax.evaluation.sampler_quality import diagnostics
from jnf_jax.evaluation.statistics.long_run import LongRun, long_run
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.method import Inference, shared_latent, with_shared_latent
from jnf_jax.methods.subset import SubsetInference
from jnf_jax.priors.whitening import Tilted
from jnf_jax.sampling import (
    LangevinRun,
    LangevinSettings,
    MomentGap,
    check_run,
    divergence,
    moment_gap,
    moments,
    warnings,
)
from jnf_jax.types import Params

STEP_NUMBERS = (0, 10, 30, 60, 150, 300)
"""Langevin steps after which joint coherence is measured; 0: the reference alone."""

NUM_DRAWS, NUM_LONG_CHAINS = 2_000, 64

MOMENT_LIMIT = 0.25
"""Largest gap of means (in sd) or log variances that a short run may have."""


def energy_priors(inference: Inference, params: dict[str, Params]) -> dict[str, Tilted]:
    """The priors of ``inference.prior_names`` that are energy-based."""
    found = {
        n: inference.prior_of(params, n).as_tilted() for n in inference.prior_names
    }
    return {name: tilted for name, tilted in found.items() if tilted is not None}


def checked_draws(
    inference: Inference,
    params: dict[str, Params],
    name: str,
    rng_key: jax.Array,
    num_draws: int,
) -> Any:
    """z from the prior ``name``; of an energy's chains, none that diverged.

    Raises:
        ValueError: As ``sampling.check_run``.
    """
    prior = energy_priors(inference, params).get(name)
    if prior is None:
        return inference.sample_prior(params, rng_key, num_draws, name)
    z, run = _short_run(inference, params, name, rng_key, num_draws)
    check_run(run, prior.of_u.langevin)
    return z


class Draws(NamedTuple):
    """Where an energy is looked at: f32[N, D] each.

    Attributes:
        posterior: z⁺ ~ q(z|X), X of the test split.
        short_run: Draws of the prior.
        reference: Draws of p_0.
    """

    posterior: Float[Array, "draws latent"]
    short_run: Float[Array, "draws latent"]
    reference: Float[Array, "draws latent"]


def report(subject: Subject, name: str) -> dict[str, Any]:
    """Chains and moments of the energy-based prior ``name``, ready for JSON.

    ``subject.report`` is told of every warning; ``name`` is a key of ``energy_priors``.
    """
    inference, params = subject.inference, subject.params
    prior = energy_priors(inference, params)[name]
    settings = prior.of_u.langevin
    draws, run, log_tilt = _draw(subject, name)
    chains = _long_run(inference, params, name, jax.random.key(1), draws)
    samples = {**draws._asdict(), "long_run": jnp.concatenate(chains.draws)}
    found = {which: moments(z) for which, z in samples.items()}
    gaps = {
        which: moment_gap(found[which], found["long_run"])
        for which in ("short_run", "posterior")
    }
    narrowest = _narrowest_variance(prior.whitening.whiten(draws.posterior))
    in_place = _other_divisors(inference, name)
    told = [
        divergence(run, settings),
        _step_warning(narrowest, settings),
        *(f"long chains: {text}" for text in warnings(chains.diagnostics)),
        _moment_warning(gaps["short_run"], settings.num_steps, in_place),
    ]
    told = [f"energy of {name}: {text}" for text in told if text]
    for text in told:
        subject.report(f"warning: {text}")
    return {
        "num_steps": settings.num_steps,
        "energy_gap": float(log_tilt.posterior.mean() - log_tilt.short_run.mean()),
        "displacement": float(run.displacement.mean()),
        "gradient_norm": float(run.gradient_norm.mean()),
        "acceptance": float(run.acceptance.mean()),
        "share_diverged": float(jnp.mean(run.first_bad_step > 0)),
        "moments": {
            which: {
                "mean": float(jnp.sqrt(jnp.mean(jnp.square(of.mean)))),
                "variance": float(of.variance.mean()),
                "kurtosis": float(of.kurtosis.mean()),
            }
            for which, of in found.items()
        },
        "narrowest_variance": narrowest,
        "gap_to_long_run": {
            which: {"mean": float(gap.mean), "log_variance": float(gap.log_variance)}
            for which, gap in gaps.items()
        },
        "long_run": {
            "acceptance": float(chains.acceptance),
            **diagnostics(chains.diagnostics, ("rhat_max", "ess_min")),
        },
        "warnings": told,
    }


def _other_divisors(inference: Inference, name: str) -> str:
    """The divisors that may replace the density ``name``; "" if subsets do not divide
    by it, or there are none of more than one modality and fewer than all."""
    if not isinstance(inference, SubsetInference) or len(inference.modalities) < 3:
        return ""
    is_own = name == inference.prior_names[0]
    if inference.quotient.divisor == "prior" and is_own:
        return "'reference' (its p_0) or 'fitted' (that of stage 'prior')"
    if inference.quotient.divisor == "fitted" and not is_own:
        return "'prior' (the model's own)"
    return ""


def _moment_warning(gap: MomentGap, num_steps: int, in_place: str) -> str | None:
    if gap.mean <= MOMENT_LIMIT and gap.log_variance <= MOMENT_LIMIT:
        return None
    divided = f", and subsets divide by it: set `sampler.divisor` to {in_place}"
    return (
        f"long chains on the density and its {num_steps}-step draws differ in their "
        f"moments (means by {float(gap.mean):.2f} sd, log variances by "
        f"{float(gap.log_variance):.2f}; limit {MOMENT_LIMIT}): the density is not the "
        f"law that is drawn{divided if in_place else ''}"
    )


def _narrowest_variance(u: Float[Array, "draws latent"]) -> float | None:
    """The least variance along any axis, not those of u alone; None of too few draws.

    Every other draw chooses the axis and the rest are measured: the least eigenvalue of
    draws is below that of their law, by a third for 2,000 of N(0, I) with D = 64.
    """
    choosing, measured = u[::2], u[1::2]
    if len(measured) <= u.shape[1]:
        return None
    axes = jnp.linalg.eigh(jnp.atleast_2d(jnp.cov(choosing.T)))[1]
    return float(jnp.var(measured @ axes[:, 0], ddof=1))


def _step_warning(narrowest: float | None, settings: LangevinSettings) -> str | None:
    """Each unadjusted step ends with noise of variance 2ε: no draw is narrower."""
    floor = 2 * settings.step_size
    is_free = settings.kernel != "ula" or settings.num_steps == 0
    if is_free or narrowest is None or narrowest >= floor:
        return None
    return (
        f"unadjusted steps of {settings.step_size:g} leave no axis a variance below "
        f"{floor:g}, and z ~ q(z|X) have one of {narrowest:.2g}: draws are too wide "
        "there, whatever f has learnt; expected `draw_step_size` (or `step_size`, its "
        f"default) below {narrowest / 2:.2g}, or `kernel` 'mala'"
    )


def coherence_by_steps(
    subject: Subject, name: str
) -> tuple[dict[str, float], dict[str, float | None]]:
    """Joint coherence and label entropy (nats) after each of ``STEP_NUMBERS``.

    One chain of 300 steps a draw, looked at six times; else as protocol v1 has it. Each
    number is reported, and a warning if chains diverged.
    """
    inference, params, tell = subject.inference, subject.params, subject.report
    rng_key = jax.random.key(subject.protocol.seed)

    def draw(number: int, rows: np.ndarray) -> tuple[dict[str, Any], LangevinRun]:
        key = jax.random.fold_in(rng_key, number)
        path, run = _path(inference, params, name, key, len(rows))
        return dict(zip(map(str, STEP_NUMBERS), path, strict=True)), run

    num = subject.protocol.num_prior_samples
    drawn, run = draw_and_judge(subject, draw, inference.modalities, num)
    langevin = energy_priors(inference, params)[name].of_u.langevin
    langevin = dataclasses.replace(langevin, num_steps=max(STEP_NUMBERS))
    if said := divergence(run, langevin):
        tell(f"warning: energy of {name}: {said}")
    shares, entropies = {}, {}
    for steps in map(str, STEP_NUMBERS):
        found = joint_coherence(drawn[steps], subject.held_out)
        shares[steps], entropies[steps] = found
        tell(f"{name} after {steps} steps: joint coherence {shares[steps]:.3f}")
    return shares, entropies


def picture(subject: Subject, name: str) -> Picture:
    """Histograms of −f(u) + κ‖u‖², nats, at each of ``Draws``; u as in the chains."""
    _, _, log_tilt = _draw(subject, name)
    prior = energy_priors(subject.inference, subject.params)[name].of_u
    labels = ("z ~ q(z|X)", f"{prior.langevin.num_steps}-step draws", "reference")
    energies = [-np.asarray(values) for values in log_tilt]
    return histogram(
        dict(zip(labels, energies, strict=True)),
        title=f"{name}: energy of the tilt, -f(u) + kappa |u|^2, in nats",
    )


def _draw(subject: Subject, name: str) -> tuple[Draws, LangevinRun, Draws]:
    """The three samples, how the short run did, and f(u) − κ‖u‖² at each."""
    inference, params = subject.inference, subject.params
    rng_key = jax.random.key(subject.protocol.seed)
    num = min(NUM_DRAWS, subject.num_tuples)
    z = subject.infer(rng_key, tuple(inference.modalities), num)
    # Not a key that a batch above was drawn with.
    other_key = jax.random.fold_in(rng_key, zlib.crc32(b"priors"))
    return _look(inference, params, name, other_key, z)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _look(inference, params, name: str, rng_key: jax.Array, z: Any):
    run_key, reference_key = jax.random.split(rng_key)
    prior, whitening = energy_priors(inference, params)[name]
    short_run, run = prior.run(run_key, NUM_DRAWS)
    reference = prior.reference.sample(reference_key, NUM_DRAWS)
    of_u = Draws(whitening.whiten(shared_latent(z)), short_run, reference)
    draws = jax.tree.map(whitening.colour, of_u)
    return draws, run, jax.tree.map(prior.log_tilt, of_u)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _long_run(
    inference, params, name: str, rng_key: jax.Array, draws: Draws
) -> LongRun:
    """Half of the chains start where the data are, half where the reference is."""
    half = NUM_LONG_CHAINS // 2
    start = jnp.concatenate([draws.posterior[:half], draws.reference[:half]])
    prior, whitening = energy_priors(inference, params)[name]
    found = long_run(rng_key, prior.log_density, whitening.whiten(start))
    return found._replace(draws=whitening.colour(found.draws))


@functools.partial(jax.jit, static_argnums=(0, 2, 4))
def _short_run(inference, params, name: str, rng_key: jax.Array, num: int):
    """z of the prior's own chains, and how those did."""
    prior, whitening = energy_priors(inference, params)[name]
    u, run = prior.run(rng_key, num)
    own = inference.sample_prior(params, rng_key, num, name)
    return with_shared_latent(own, whitening.colour(u)), run


@functools.partial(jax.jit, static_argnums=(0, 2, 4))
def _path(inference, params, name: str, rng_key: jax.Array, num: int):
    """[z after each of ``STEP_NUMBERS``], and how the chains did."""
    chain_key, own_key = jax.random.split(rng_key)
    prior, whitening = energy_priors(inference, params)[name]
    path, run = prior.sample_after(chain_key, num, STEP_NUMBERS)
    # For the private latents, which have a prior of their own; its chain of the shared
    # one is read by nobody, and XLA drops it. Likewise above.
    own = inference.sample_prior(params, own_key, num, name)
    return [with_shared_latent(own, whitening.colour(u)) for u in path], run
