"""Diagnostics of a run, each with a sentence on what it means."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jnf_jax.evaluation.measures.tables import find
from jnf_jax.evaluation.sampler_record import stand_in
from jnf_jax.experiments.records import (
    by_properness,
    joint_entropy,
    refinement_rows,
    sampler_kernel,
    worst_by_size,
)
from jnf_jax.experiments.text import by_name, format_value, mean_of
from jnf_jax.page.charts import Number
from jnf_jax.page.runs import Run

GOOD_JUDGE, POOR_JUDGE = 0.9, 0.5
RHAT_LIMIT, LEAST_ESS = 1.05, 100
"""Beyond these chains are warned of."""


class Finding(NamedTuple):
    """What was seen and what it means; ``level`` is "good", "note" or "warning"."""

    level: str
    said: str
    means: str


def findings(run: Run) -> list[Finding]:
    """All that a run's files tell of how far its numbers can be believed."""
    found = [*_training(run)]
    record = run.record
    if record is None:
        means = "Coherence, posteriors and samples are not known: " + (
            "`python -m jnf_jax.evaluate` on the folder measures them."
        )
        return [*found, Finding("note", "The run was not evaluated.", means)]
    if waiting := record.get("unfinished"):
        said = f"The evaluation did not finish: {', '.join(waiting)} did not run."
        found.append(Finding("warning", said, "What had been measured is shown."))
    found += [*_judges(record), *_coherence(run, record), *_sampler(record)]
    found += [*_refinement(record), *_told(record)]
    return found


def _training(run: Run) -> Iterator[Finding]:
    lines = next(iter(run.metrics.values()))
    for stage in dict.fromkeys(line["stage"] for line in lines if "stage" in line):
        own = [line for line in lines if line.get("stage") == stage]
        checks = [line for line in own if line.get("event") == "validation"]
        pairs = [
            (line["loss"], line["step"])
            for line in checks
            if isinstance(line.get("loss"), int | float)
        ]
        bad = [line for line in own if isinstance(line.get("loss"), str)]
        if bad:
            said = f"Stage {stage}: the loss was not finite at step {bad[0]['step']:,}."
            means = "A smaller learning rate or gradient clipping is the first remedy."
            yield Finding("warning", said, means)
        if len(pairs) > 1:
            yield _of_validation(stage, pairs)
        told = dict.fromkeys(line["warning"] for line in own if line.get("warning"))
        for text in told:
            means = "The trainer warned of it while the stage ran."
            yield Finding("warning", f"Stage {stage}: {text}", means)


def _of_validation(stage: str, pairs: Sequence[tuple[Number, int]]) -> Finding:
    best, step = min(pairs)
    last = pairs[-1][1]
    said = (
        f"Stage {stage}: the validation loss was lowest, {best:.4g}, at step {step:,}"
    )
    if step == last:
        means = "It was still falling when training ended: more steps may help."
        return Finding("note", f"{said}, the last.", means)
    means = "It no longer falls after that: more steps of the same would not help."
    return Finding("good", f"{said} of {last:,}.", means)


def _judges(record: Mapping[str, Any]) -> Iterator[Finding]:
    shares = {m: mean_of(of) for m, of in (record.get("classifiers") or {}).items()}
    if not shares:
        said = (
            "Coherence was not measured: the data have no labels, or nothing was drawn."
        )
        means = "Samples, log-likelihoods and posteriors are judged without them."
        yield Finding("note", said, means)
        return
    m = min(shares, key=shares.get)
    level = "good" if shares[m] >= GOOD_JUDGE else "note"
    level = level if shares[m] >= POOR_JUDGE else "warning"
    said = f"The judges read {shares[m]:.1%} or more of real test data right ({m})."
    means = (
        "Coherence is what these classifiers read in generated views: they bound it, "
        "and a poor judge makes every model look poor."
    )
    yield Finding(level, said, means)


def _coherence(run: Run, record: Mapping[str, Any]) -> Iterator[Finding]:
    ceiling = mean_of(find(record, "coherence.ceiling"))
    conditional = find(record, "coherence.conditional") or {}
    if ceiling is None:
        return
    yield Finding(
        "good" if ceiling >= GOOD_JUDGE else "note",
        f"The ceiling is {ceiling:.3f}: all views given, encoded and decoded again.",
        "The decoders can hardly do better from fewer views. Where it is low, a larger "
        "latent space, other decoders or longer training help; inference does not.",
    )
    if conditional:
        size = max(conditional, key=int)
        share = mean_of(conditional[size])
        yield Finding(
            "good" if share >= 0.9 * ceiling else "note",
            f"Given {size} view{'s' if size != '1' else ''} coherence is {share:.3f}, "
            f"{share / ceiling if ceiling else 0:.0%} of the ceiling.",
            "What is missing is lost in the posterior of a subset: it does not find "
            "the z that all views together would give, or not sharply enough.",
        )
    for prior, value in (find(record, "coherence.joint") or {}).items():
        share = mean_of(value)
        yield Finding(
            "good" if share >= 0.9 * ceiling else "note",
            f"Of draws from the prior {prior!r} all views agree in {share:.3f}.",
            "Far below the ceiling, the prior has mass where no data were encoded: a "
            "prior fitted afterwards (`fitted_prior`) or the amortised q(z|∅) draws "
            "where they were.",
        )
        yield from _entropy(run, record, prior)


def _entropy(run: Run, record: Mapping[str, Any], prior: str) -> Iterator[Finding]:
    entropy, num = mean_of(joint_entropy(record, prior)), run.model.get("num_classes")
    if entropy is None or not num or num < 2:
        return
    most = math.log(num)
    yield Finding(
        "good" if entropy >= 0.95 * most else "note",
        f"Their labels have an entropy of {entropy:.2f} of at most {most:.2f} nats "
        f"({prior}).",
        f"It is as much as {math.exp(entropy):.1f} of {num} classes, drawn equally "
        "often. A low value says that some classes are hardly ever drawn.",
    )


def _sampler(record: Mapping[str, Any]) -> Iterator[Finding]:
    sampler = record.get("sampler") or {}
    if not sampler.get("subsets"):
        said = "No Markov chain ran: subsets are inferred in one pass, or not at all."
        yield Finding("good", said, "There is no mixing to doubt.")
        return
    kernel = sampler_kernel(sampler)
    for size, worst in worst_by_size(sampler).items():
        rhat, ess = worst.get("max R-hat"), worst.get("min ESS")
        bad = rhat == "undefined" or (rhat is not None and float(rhat) > RHAT_LIMIT)
        bad |= ess not in (None, "undefined") and float(ess) < LEAST_ESS
        told = ", ".join(f"{heading} {value}" for heading, value in worst.items())
        yield Finding(
            "warning" if bad else "good",
            f"Given {size}, the worst subset ({kernel}): {told}.",
            f"R-hat compares chains from different starts: above {RHAT_LIMIT} they did "
            "not find the same distribution. ESS is how many independent draws they "
            "are worth. Improper is the share of data whose quotient of posteriors is "
            "no density.",
        )
    improper = stand_in(sampler)
    for size, (proper, other) in by_properness(record).items() if improper else ():
        yield Finding(
            "warning",
            f"Given {size}, {other.num_subsets} subsets are improper (coherence "
            f"{format_value(other.coherence)}), {proper.num_subsets} are not "
            f"({format_value(proper.coherence)}).",
            f"Where there is no density, something stands in: {improper}. An average "
            "over both kinds is of two estimators.",
        )


def _refinement(record: Mapping[str, Any]) -> Iterator[Finding]:
    refinement = record.get("refinement")
    for size, (*_, before, after) in refinement_rows(refinement) if refinement else ():
        yield Finding(
            "note",
            f"Refined towards the decoders' posterior, given {size}: coherence "
            f"{format_value(before)} → {format_value(after)}.",
            "A large change says that the learnt posterior of the subset is not the "
            "model's own p(z|x_S); no change that the two agree in what is judged.",
        )


def _told(record: Mapping[str, Any]) -> Iterator[Finding]:
    """Warnings and notes, wherever they stand in the record."""
    for text in record.get("notes") or ():
        yield Finding("note", text, "A note in the record.")
    for where, texts in _warnings("", record):
        told = f"{where}: {texts[0]}"
        if len(texts) > 1:
            told += f" (and {len(texts) - 1} more like it)"
        yield Finding("warning", told, "The evaluation warned of it.")
    if wrong := record.get("wrong_bit"):
        means = "Share of decoded draws whose shapes disagree on full or empty."
        yield Finding("note", f"Wrong bit: {by_name(wrong)}.", means)


def _warnings(path: str, tree: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for key, value in tree.items():
        below = f"{path}.{key}" if path else key
        if key == "warnings" and isinstance(value, list) and value:
            yield path, [str(text) for text in value]
        elif isinstance(value, Mapping):
            yield from _warnings(below, value)
