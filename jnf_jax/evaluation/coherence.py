"""Coherence of every subset, jointly, and its ceiling, on held-out tuples: protocol v1.

``draw_and_judge`` is the loop of everything that classifiers judge: it draws z in
batches, decodes, and classifies decoder means. Written once against
``methods.Inference``.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax.evaluation.paired import Scores
from jnf_jax.evaluation.protocol import Draws, Remember, SubsetDraws
from jnf_jax.evaluation.sampler_quality import sampler_quality
from jnf_jax.evaluation.statistics import bootstrap, coherence
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.names import join_names
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches

TOLD_AHEAD = 20
"""Batches of draws from which on it is said how long they take, before any is drawn."""

NUM_KEYS = 2**16
"""Keys of a protocol: each subset's, by number, then the ceiling's and the priors'."""


def draw_and_judge(
    subject: Subject,
    draw: Callable[[int, np.ndarray], tuple[dict[str, Any], Any]],
    targets: Sequence[str],
    num: int,
) -> tuple[dict[str, dict[str, np.ndarray]], Any]:
    """Draws z in batches, decodes them, and lets the classifiers read decoder means.

    ``draw`` gives {name: z}, and what else to keep, for the number of a batch and its
    rows, out of ``num`` data or draws; without classifiers nothing is decoded.

    Returns:
        {name: {target: labels i32[num]}} of targets that tell of the label, and all
        that was kept, on the host.
    """
    targets = [t for t in targets if t not in subject.held_out.unlabelled]
    # A program a modality: subsets share them, whatever their targets.
    judge = subject.classifiers and jax.tree_util.Partial(subject.classifiers.predict)

    def labels(z: Any) -> dict[str, jax.Array]:
        known = (subject.inference, judge, subject.params)
        return {t: _predict_one(*known, z, t) for t in targets} if judge else {}

    def one_batch(number: int, rows: np.ndarray) -> Any:
        drawn, kept = draw(number, rows)
        return {name: labels(z) for name, z in drawn.items()}, kept

    return map_batches(one_batch, num, subject.protocol.batch_size)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _predict_one(inference, predict, params, z: Any, m: str) -> jax.Array:
    return predict({m: inference.decode(params, z)[m].mean()})[m]


def accuracies_of(
    predicted: dict[str, np.ndarray], held_out: HeldOut
) -> dict[str, coherence.ClassAccuracy]:
    """{t: how often labels of what the first tuples generated are theirs}."""
    return {
        target: coherence.class_accuracy(
            own, held_out.labels[: len(own)], num_classes=held_out.num_classes
        )
        for target, own in predicted.items()
    }


class CoherenceReport(NamedTuple):
    """Numbers of protocol v1, ready for JSON; ``accuracies``, ``scores`` and ``draws``
    are not.

    Attributes:
        accuracies: subset -> target -> ``ClassAccuracy``.
        table: Averages of these by subset size; empty where no subset was asked for.
        joint: Agreement of all classifiers on decoded draws, by the prior drawn from.
        joint_entropy: Entropy of the labels agreed on, nats, likewise.
        ceiling: The same agreement on decoded joint-posterior draws of the tuples.
        interval: ``bootstrap.intervals``.
        scores: Of each tuple, by subset size.
        sampler: How each subset's chains did, and sentences that warn of it.
        draws: The latents that were decoded.
        draws_per_second: By names of the subset, encoders included; of those that took
            more than one batch.
    """

    accuracies: dict[tuple[str, ...], dict[str, coherence.ClassAccuracy]]
    table: coherence.CoherenceTable
    joint: dict[str, float]
    joint_entropy: dict[str, float | None]
    ceiling: float
    interval: dict[str, Any]
    scores: Scores
    sampler: dict[str, Any]
    draws: Draws
    draws_per_second: dict[str, float]


def evaluate_coherence(
    subject: Subject, remember: Remember = lambda name, work: work()
) -> CoherenceReport:
    """Runs protocol v1 on a subject with labels and classifiers of all modalities.

    ``remember`` may know a subset's draws from before.
    """
    inference, held_out = subject.inference, subject.held_out
    keys, report, judged = _keys(subject), subject.report, subject.judged
    accuracies, shown, sampler, rates, warnings = {}, {}, {}, {}, []
    draws, asked = Draws({}, {}), [*_subsets_asked_for(subject, keys)]
    sizes: set[int] = set()  # of subsets that were drawn here, not kept from before

    def draw(subset: tuple[str, ...], key: jax.Array) -> SubsetDraws:
        size = len(subset)
        if not sizes:
            _tell_how_long(subject, asked[len(draws.given) :])
        if size not in sizes:
            report(f"compiling draws given {size} of {len(inference.modalities)}…")
        sizes.add(size)
        return _draw_given(subject, subset, key)

    for subset, key in asked:
        name = join_names(subset)
        work = functools.partial(draw, subset, key)
        predicted, draws.given[subset], quality, rates[name] = remember(name, work)
        found = "no label to agree on"
        if subset in judged:
            accuracies[subset] = accuracies_of(predicted, held_out)
            shown[subset] = predicted
            mean = np.mean([a.macro for a in accuracies[subset].values()])
            found = f"coherence {mean:.3f}"
        report(f"given {', '.join(subset)}: {found}")
        if quality is not None:
            for text in quality.pop("warnings"):
                warnings.append(f"given {name}: {text}")
                report(f"  warning: {text}")
            sampler[name] = quality
    everything = _draw_given(subject, tuple(inference.modalities), next(keys))
    ceiling = coherence.agreement(everything.predicted).share
    shares, entropies = {}, {}
    for name in inference.prior_names:
        drawn, draws.unconditional[name] = _draw_from_prior(subject, name, next(keys))
        shares[name], entropies[name] = joint_coherence(drawn, held_out)
    labels = held_out.labels[: subject.num_tuples]
    right = bootstrap.right_of(shown, labels)
    return CoherenceReport(
        accuracies,
        coherence.coherence_table(accuracies, judged, held_out.unlabelled),
        shares,
        entropies,
        ceiling,
        bootstrap.intervals(right, labels, shares, ceiling, subject.protocol),
        Scores(bootstrap.scores_by_size(right), labels),
        {"subsets": sampler, "warnings": warnings},
        draws,
        {name: rate for name, rate in rates.items() if rate is not None},
    )


def draw_latents(subject: Subject) -> Draws:
    """The draws of ``evaluate_coherence``, where there is nothing to judge them by."""
    subject, keys = subject._replace(classifiers=None), _keys(subject)
    asked = [*_subsets_asked_for(subject, keys)]
    _tell_how_long(subject, asked)
    given = {subset: _draw_given(subject, subset, key).z for subset, key in asked}
    next(keys)  # the ceiling's
    names = subject.inference.prior_names
    return Draws(
        given, {name: _draw_from_prior(subject, name, next(keys))[1] for name in names}
    )


def joint_coherence(
    predicted: dict[str, np.ndarray], held_out: HeldOut
) -> tuple[float, float | None]:
    """Share of draws on which all classifiers agree; entropy of these labels, nats."""
    agreed = coherence.agreement(predicted)
    return agreed.share, coherence.label_entropy(agreed.labels, held_out.num_classes)


def _keys(subject: Subject) -> Iterator[jax.Array]:
    return iter(jax.random.split(jax.random.key(subject.protocol.seed), NUM_KEYS))


def _subsets_asked_for(
    subject: Subject, keys: Iterator[jax.Array]
) -> Iterator[tuple[tuple[str, ...], jax.Array]]:
    """Subsets with their keys; one left out uses its own up: joint draws stay."""
    asked = [] if subject.protocol.subsets == "none" else subject.subsets
    names = subject.inference.modalities
    num_all = 2 ** len(names) - 2
    if 0 < len(asked) < num_all:
        subject.report(
            f"{len(asked)} of {num_all:,} subsets will be given, about as many of "
            f"each size, {subject.num_tuples:,} tuples each; "
            "`--config.evaluation.subsets=all` gives every one"
        )
    # Where all have too many keys, those that are asked for have the first.
    for subset in coherence.subsets(names) if num_all < NUM_KEYS // 2 else asked:
        key = next(keys)
        if subset in asked:
            yield subset, key


def _tell_how_long(
    subject: Subject, left: Sequence[tuple[tuple[str, ...], jax.Array]]
) -> None:
    """Says how long the subsets ``left``, with their keys, take; not of a few batches.

    One batch given the last is drawn twice, because the first time compiles it: chains
    given fewer views have fewer experts.
    """
    size = min(subject.protocol.batch_size, subject.num_tuples)
    num_batches = len(left) * -(-subject.num_tuples // size)
    if num_batches < TOLD_AHEAD:
        return
    subject.report(f"timing {len(left)} subsets by a batch given {len(left[-1][0])}…")
    one = dataclasses.replace(subject.protocol, num_tuples=size)
    for _ in range(2):
        begin = time.monotonic()
        _draw_given(subject._replace(protocol=one), *left[-1])
    seconds = math.ceil((time.monotonic() - begin) * num_batches)
    told = f"{seconds} s" if seconds < 180 else f"{seconds / 60:.0f} min"
    subject.report(f"  at most {told}, beside compiling each size once")


def _draw_given(
    subject: Subject, subset: tuple[str, ...], rng_key: jax.Array
) -> SubsetDraws:
    """Draws given ``subset``, decoded and classified."""
    inference, params, settings = subject.inference, subject.params, subject.protocol
    first, num = subject.first_views(), subject.num_tuples
    adapt_key, diagnose_key, *keys = jax.random.split(
        rng_key, 2 + -(-num // settings.batch_size)
    )
    step_size = inference.adapt(params, adapt_key, first, subset)
    few = {m: v[: settings.num_diagnostic_data] for m, v in first.items()}
    diagnosis = inference.diagnose(params, diagnose_key, few, subset, step_size)

    timed = []

    def draw(number: int, rows: np.ndarray) -> tuple[dict[str, Any], Any]:
        views = jax.block_until_ready(subject.held_out.views(rows))
        begin = time.monotonic()
        z, info = inference.infer(params, keys[number], views, subset, step_size)
        jax.block_until_ready(z)
        timed.append(len(rows) / (time.monotonic() - begin))
        # The step size is one number for all data, known already.
        return {"drawn": z}, (z, info and info._replace(step_size=None))

    targets = coherence.targets_of(subset, inference.modalities)
    predicted, (z, info) = draw_and_judge(subject, draw, targets, num)
    # The first batch may have been compiled.
    rate = float(np.median(timed[1:])) if len(timed) > 1 else None
    if info is None:
        return SubsetDraws(predicted["drawn"], z, None, rate)
    # No chain, hence no step, where the posterior is known in closed form.
    size = 0.0 if step_size is None else float(step_size)
    quality = sampler_quality(info, size, diagnosis)
    return SubsetDraws(predicted["drawn"], z, quality, rate)


def _draw_from_prior(
    subject: Subject, name: str, rng_key: jax.Array
) -> tuple[dict[str, np.ndarray], Any]:
    """Draws from the prior ``name``, classified; and they themselves."""
    inference, num = subject.inference, subject.protocol.num_prior_samples
    how = (inference, name, subject.held_out.mesh, subject.params)

    def draw(number: int, rows: np.ndarray) -> tuple[dict[str, Any], Any]:
        z = _sample_prior(len(rows), *how, jax.random.fold_in(rng_key, number))
        return {"drawn": z}, z

    predicted, z = draw_and_judge(subject, draw, inference.modalities, num)
    return predicted["drawn"], z


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sample_prior(num, inference, name, mesh, params, rng_key) -> Any:
    z = inference.sample_prior(params, rng_key, num, name)
    return parallel.constrain_batch(z, mesh)
