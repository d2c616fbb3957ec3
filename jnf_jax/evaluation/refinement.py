"""Refines draws by Markov chains through the decoders: how large is the gap?

For every subset, on the same draws z: log p(x_S, z) and coherence of the amortised
posterior, and of where the chains that start there end.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import sampling
from jnf_jax.evaluation.coherence import accuracies_of, draw_and_judge
from jnf_jax.evaluation.sampler_quality import diagnostics
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.subset import NUM_DIAGNOSTIC_CHAINS
from jnf_jax.names import join_names

MOMENTS = ("before", "after")


def evaluate_refinement(
    subject: Subject, posterior: DecoderPosterior
) -> dict[str, Any]:
    """Runs every subset, all modalities included, before and after.

    The subject has labels and classifiers of all modalities; ``posterior`` has λ as
    trained or 1, and starts from its amortised posterior.

    Returns:
        {"log_joint", "coherence": {"before", "after": {size: mean over subsets}},
        "ceiling": {"before", "after"}, "subsets": {name: diagnostics}, "warnings":
        sentences}; see docs/results_schema.md.
    """
    names, report = tuple(posterior.inference.modalities), subject.report
    root = jax.random.key(subject.protocol.seed)
    runs, accuracies = {}, {moment: {} for moment in MOMENTS}
    agreement, warnings = {}, []
    for number, subset in enumerate([*subject.subsets, names]):
        found, runs[subset], warning = _refine_subset(
            subject, posterior, subset, jax.random.fold_in(root, number)
        )
        for moment in MOMENTS:
            if subset == names:
                agreement[moment] = coherence.agreement(found[moment]).share
                continue
            accuracies[moment][subset] = accuracies_of(found[moment], subject.held_out)
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
        "log_joint": {
            moment: mean_by_size(f"log_joint_{moment}") for moment in MOMENTS
        },
        "coherence": {
            moment: coherence.coherence_table(accuracies[moment], subject.subsets).macro
            for moment in MOMENTS
        },
        "ceiling": agreement,
        "subsets": {join_names(subset): run for subset, run in runs.items()},
        "warnings": warnings,
    }


def _refine_subset(
    subject: Subject,
    posterior: DecoderPosterior,
    subset: tuple[str, ...],
    rng_key: jax.Array,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, float | None], str | None]:
    """Labels of what is decoded before and after; numbers of the chains; a warning."""
    inference, params = posterior.inference, subject.params
    draw_key, adapt_key, diagnose_key, chain_key = jax.random.split(rng_key, 4)
    first = subject.first_views()
    amortised_step = inference.adapt(params, draw_key, first, subset)
    infer = functools.partial(
        inference.infer, params, subset=subset, step_size=amortised_step
    )
    z, _ = infer(jax.random.fold_in(draw_key, 0), first)
    step_size = posterior.adapt(params, adapt_key, first, subset, z)
    few = {m: view[: subject.protocol.num_diagnostic_data] for m, view in first.items()}
    start_keys = jax.random.split(diagnose_key, NUM_DIAGNOSTIC_CHAINS + 1)
    starts = jnp.stack([infer(key, few)[0] for key in start_keys[1:]])
    diagnosis = posterior.diagnose(
        params, start_keys[0], few, subset, starts, step_size
    )

    def draw(number: int, rows: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
        views = subject.held_out.views(rows)
        before, _ = infer(jax.random.fold_in(draw_key, number), views)
        key = jax.random.fold_in(chain_key, number)
        after, info = posterior.refine(params, key, views, subset, before, step_size)
        draws = dict(zip(MOMENTS, (before, after), strict=True))
        numbers = {
            f"log_joint_{moment}": posterior.log_joint(params, views, subset, z)
            for moment, z in draws.items()
        }
        return draws, numbers | {
            "acceptance": info.acceptance[0],
            "displacement": info.displacement[0],
            "share_with_divergences": info.divergences[0] > 0,
            "first_divergence": info.first_divergence[0],
        }

    targets = coherence.targets_of(subset, inference.modalities)
    labels, numbers = draw_and_judge(subject, draw, targets, subject.num_tuples)
    diverged_at = numbers.pop("first_divergence")
    means = {name: float(x.mean(dtype=np.float64)) for name, x in numbers.items()}
    run = means | {"step_size": float(step_size), **diagnostics(diagnosis)}
    return labels, run, _divergence(posterior.chains, run, diverged_at)


def _divergence(
    chains: sampling.ChainSettings, run: dict[str, float | None], at: np.ndarray
) -> str | None:
    """Warns of chains that diverged, each at transition ``at``, 0 where it did not."""
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
