"""Refines draws, by chains through the decoders or by weights: how large is the gap?

For every subset, on the same data: log p(x_S, z) and coherence of draws z of the
amortised posterior, and of where the chains that start there end, or of other draws,
chosen by their importance weights.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import sampling
from jnf_jax.evaluation.coherence import accuracies_of, draw_and_judge
from jnf_jax.evaluation.sampler_quality import diagnostics
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior, Reweighting
from jnf_jax.methods.subset import NUM_DIAGNOSTIC_CHAINS
from jnf_jax.names import join_names
from jnf_jax.types import StageParams, Views

MOMENTS = ("before", "after")

BY_CHAINS = Reweighting()


def evaluate_refinement(
    subject: Subject, posterior: DecoderPosterior, how: Reweighting = BY_CHAINS
) -> dict[str, Any]:
    """Runs every subset, all modalities included, before and after.

    The subject has labels and classifiers of all modalities; ``posterior`` has λ as
    trained or 1, and starts from its amortised posterior.

    Returns:
        {"target": what the draws are to be of, "log_joint", "coherence": {"before",
        "after": {size: mean over subsets}}, "ceiling": {"before", "after"}, "subsets":
        {name: diagnostics}, "warnings": sentences}; see docs/results_schema.md.
    """
    names, report = tuple(posterior.inference.modalities), subject.report
    root = jax.random.key(subject.protocol.seed)
    runs, accuracies = {}, {moment: {} for moment in MOMENTS}
    agreement, warnings, judged = {}, [], subject.judged
    for number, subset in enumerate([*subject.subsets, names]):
        key = jax.random.fold_in(root, number)
        found, runs[subset], warning = _refine_subset(
            subject, posterior, how, subset, key
        )
        for moment in MOMENTS:
            if subset == names:
                agreement[moment] = coherence.agreement(found[moment]).share
            elif subset in judged:
                accuracies[moment][subset] = accuracies_of(
                    found[moment], subject.held_out
                )
        before, after = (runs[subset][f"log_joint_{moment}"] for moment in MOMENTS)
        report(
            f"refined given {', '.join(subset)}: log p(x, z) "
            f"{before:.1f} -> {after:.1f} nats"
        )
        if warning:
            report(f"  warning: {warning}")
            warnings.append(f"{join_names(subset)}: {warning}")

    def mean_by_size(key: str) -> dict[str, float]:
        found = {size: [] for size in range(1, len(names) + 1)}
        for subset, run in runs.items():
            found[len(subset)].append(run[key])
        return {str(size): float(np.mean(of)) for size, of in found.items()}

    return {
        "target": target_of(posterior, how),
        "log_joint": {
            moment: mean_by_size(f"log_joint_{moment}") for moment in MOMENTS
        },
        "coherence": {
            moment: coherence.coherence_table(
                accuracies[moment], judged, subject.held_out.unlabelled
            ).macro
            for moment in MOMENTS
        },
        "ceiling": agreement,
        "subsets": {join_names(subset): run for subset, run in runs.items()},
        "warnings": warnings,
    }


def target_of(posterior: DecoderPosterior, how: Reweighting) -> str:
    """What refined draws are of, in a line; with every λ_m that is not 1."""
    if how.target == "experts":
        return "product of experts over the divisor"
    views = posterior.inference.joint.views if posterior.is_weighted else ()
    weights = {view.name: view.weight for view in views if view.weight != 1}
    if not weights:
        return "p(z) Π p(x_m|z)"
    said = ", ".join(f"{m} {weight:.4g}" for m, weight in weights.items())
    return f"p(z) Π p(x_m|z)^λ_m, not the model's posterior: λ of {said}"


def _refine_subset(
    subject: Subject,
    posterior: DecoderPosterior,
    how: Reweighting,
    subset: tuple[str, ...],
    rng_key: jax.Array,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, float | None], str | None]:
    """Labels of what is decoded before and after; how it went; a warning."""
    inference, params = posterior.inference, subject.params
    draw_key, adapt_key, diagnose_key, refine_key = jax.random.split(rng_key, 4)
    first = subject.first_views()
    amortised_step = inference.adapt(params, draw_key, first, subset)
    infer = functools.partial(
        inference.infer, params, subset=subset, step_size=amortised_step
    )
    if how.refine == "chains":
        refine, about = _by_chains(
            posterior, subject, subset, infer, (draw_key, adapt_key, diagnose_key)
        )
    else:
        refine, about = functools.partial(_by_weights, posterior, params, how), {}

    def draw(number: int, rows: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
        views = subject.held_out.views(rows)
        before, _ = infer(jax.random.fold_in(draw_key, number), views)
        key = jax.random.fold_in(refine_key, number)
        after, went = refine(key, views, subset, before)
        draws = dict(zip(MOMENTS, (before, after), strict=True))
        numbers = {
            f"log_joint_{moment}": posterior.log_joint(params, views, subset, z)
            for moment, z in draws.items()
        }
        return draws, numbers | went

    targets = coherence.targets_of(subset, inference.modalities)
    labels, numbers = draw_and_judge(subject, draw, targets, subject.num_tuples)
    apart = {
        name: numbers.pop(name)
        for name in ("first_divergence", *sampling.WeightQuality._fields)
        if name in numbers
    }
    means = {name: float(x.mean(dtype=np.float64)) for name, x in numbers.items()}
    if how.refine == "chains":
        run = means | about
        return labels, run, _divergence(posterior.chains, run, **apart)
    run = means | _quality(**apart)
    return labels, run, _unreliable(run, how)


def _by_chains(
    posterior: DecoderPosterior,
    subject: Subject,
    subset: tuple[str, ...],
    infer: Callable[..., Any],
    rng_keys: tuple[jax.Array, jax.Array, jax.Array],
) -> tuple[Callable[..., tuple[Any, dict[str, Any]]], dict[str, float | None]]:
    """``(key, views, subset, z) -> (z after, numbers of the chains)``; and the step
    that was adapted, with R-hat and ESS."""
    (draw_key, adapt_key, diagnose_key), params = rng_keys, subject.params
    first = subject.first_views()
    z, _ = infer(jax.random.fold_in(draw_key, 0), first)
    step_size = posterior.adapt(params, adapt_key, first, subset, z)
    few = {m: view[: subject.protocol.num_diagnostic_data] for m, view in first.items()}
    start_keys = jax.random.split(diagnose_key, NUM_DIAGNOSTIC_CHAINS + 1)
    starts = jnp.stack([infer(key, few)[0] for key in start_keys[1:]])
    diagnosis = posterior.diagnose(
        params, start_keys[0], few, subset, starts, step_size
    )

    def refine(rng_key, views, subset, z) -> tuple[Any, dict[str, Any]]:
        after, info = posterior.refine(params, rng_key, views, subset, z, step_size)
        return after, {
            "acceptance": info.acceptance[0],
            "displacement": info.displacement[0],
            "share_with_divergences": info.divergences[0] > 0,
            "first_divergence": info.first_divergence[0],
        }

    return refine, {"step_size": float(step_size), **diagnostics(diagnosis)}


def _by_weights(
    posterior: DecoderPosterior,
    params: StageParams,
    how: Reweighting,
    rng_key: jax.Array,
    views: Views,
    subset: tuple[str, ...],
    before: Any,
) -> tuple[Any, dict[str, Any]]:
    """Other draws than ``before``, and numbers of their weights."""
    del before
    after, info = posterior.reweight(params, rng_key, views, subset, how)
    about = {
        "acceptance": info.acceptance,
        "move_acceptance": info.moved,
        "share_tempered": info.tempered,
    }
    known = {name: x for name, x in about.items() if x is not None}
    return after, info.quality._asdict() | known


def _quality(khat: np.ndarray, ess: np.ndarray) -> dict[str, float | None]:
    """Numbers of the weights of all data; those of k̂ are None where K is too small."""
    is_known = not np.isnan(khat).any()
    return {
        "khat_median": float(np.median(khat)) if is_known else None,
        "share_khat_high": float((khat > sampling.KHAT_LIMIT).mean())
        if is_known
        else None,
        "weights_ess_median": float(np.median(ess)),
        "weights_ess_min": float(ess.min()),
    }


def _unreliable(run: dict[str, float | None], how: Reweighting) -> str | None:
    """Warns of weights whose few largest decide."""
    share = run["share_khat_high"]
    if not share:
        return None
    return (
        f"Pareto k̂ of the weights exceeds {sampling.KHAT_LIMIT} for {share:.0%} of "
        f"the data: {how.num_proposals} proposals miss a part of the target there, and "
        "what is taken is no draw of it"
    )


def _divergence(
    chains: sampling.ChainSettings,
    run: dict[str, float | None],
    first_divergence: np.ndarray,
) -> str | None:
    """Warns of chains that diverged, each at that transition, 0 where it did not."""
    at = first_divergence
    share = run["share_with_divergences"]
    if share <= 0.01:
        return None
    shorter = "`refinement.initial_step_size` below what it is"
    if chains.num_adaptation:  # then the step is as long as acceptance allows
        shorter = "`refinement.target_acceptance` above what it is"
    return (
        f"{share:.0%} of the chains diverged, the first at transition "
        f"{at[at > 0].min()} of {chains.num_transitions}, at a step size of "
        f"{run['step_size']:.3g}, so where they end is no draw of the posterior; "
        f"expected {shorter}"
    )
