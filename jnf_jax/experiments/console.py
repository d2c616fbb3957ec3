"""A record as a person at a terminal sees it."""

import textwrap
from collections.abc import Mapping
from typing import Any

from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.measures.tables import rows_of
from jnf_jax.evaluation.sampler_record import stand_in
from jnf_jax.experiments.records import (
    DIAGNOSTICS,
    by_properness,
    joint_entropy,
    refinement_rows,
    sampler_kernel,
    worst_by_size,
)
from jnf_jax.experiments.schema import Record
from jnf_jax.experiments.text import (
    ABSENT,
    WIDTH,
    by_name,
    console,
    format_cell,
    format_duration,
    format_value,
    in_lines,
)


def console_table(record: Record) -> str:
    """The record as plain ASCII, at most 80 columns wide.

    Conditional coherence by subset size, joint coherence with its label entropy, the
    ceiling, the accuracies of the classifiers that judged, and how well the sampler
    mixed, so that no number is seen without what bounds it.
    """
    seeds = ", ".join(map(str, record["seeds"]))
    plural = "s" if len(record["seeds"]) > 1 else ""
    title = (
        f"{record['dataset']} | {record['method']} | protocol {record['protocol']} | "
        f"seed{plural} {seeds}"
    )
    lines = textwrap.wrap(title, WIDTH) + ["-" * WIDTH]
    if record["classifiers"]:
        lines += _coherence(record["coherence"], record)
        lines += ["classifiers' accuracy on real test data"]
        lines += in_lines(by_name(record["classifiers"]), "  ")
    lines += _sampler(record["sampler"])
    lines += _improper(record)
    lines += _refinement(record.get("refinement"))
    for name in MEASURES:
        lines += _measure(name, record[name]) if name in record else []
    lines.append(f"wall time {format_duration(record['wall_seconds'])}")
    return "\n".join(lines)


def _given(size: str) -> str:
    return f"  given {size} modalit{'y' if size == '1' else 'ies'}"


def _coherence(coherence: Mapping[str, Any], record: Record) -> list[str]:
    counts = coherence.get("num_subsets", {})
    micro = coherence.get("conditional_micro", {})
    lines = console(
        ["coherence", "subsets", "macro", "micro"],
        [
            [
                _given(size),
                str(counts.get(size, ABSENT)),
                format_value(value),
                format_value(micro.get(size)),
            ]
            for size, value in sorted(
                coherence["conditional"].items(), key=lambda item: int(item[0])
            )
        ],
    )
    joint = [
        [
            f"  joint, z from {prior}",
            format_value(share),
            format_value(joint_entropy(record, prior)),
        ]
        for prior, share in sorted(coherence["joint"].items())
    ]
    ceiling = format_value(coherence["ceiling"])
    joint.append(["  ceiling, z from joint posterior", ceiling, ""])
    header = ["" if lines else "coherence", "share", "entropy (nats)"]
    return lines + console(header, joint)


def _sampler(sampler: Mapping[str, Any]) -> list[str]:
    """The worst that was seen among the subsets of each size."""
    rows = [
        [_given(size), *(worst.get(heading, ABSENT) for heading in DIAGNOSTICS)]
        for size, worst in worst_by_size(sampler).items()
    ]
    if not rows:
        return []
    said = f"sampler {sampler_kernel(sampler)}, the worst subset of each size"
    return [said, *console(["", *DIAGNOSTICS], rows)]


def _improper(record: Record) -> list[str]:
    """Coherence of subsets whose quotient is a density, and of the others."""
    rows = [
        [
            _given(size),
            *(f"{of.num_subsets}: {format_value(of.coherence)}" for of in two),
        ]
        for size, two in by_properness(record).items()
    ]
    if not rows:
        return []
    sampler = record["sampler"]
    replaced = sampler.get("stand_in") or stand_in(sampler)
    said = f"improper quotients; what stands in: {replaced}"
    header = ["subsets: coherence", "proper", "improper"]
    return [*textwrap.wrap(said, WIDTH), *console(header, rows)]


def _refinement(refinement: Mapping[str, Any] | None) -> list[str]:
    """Numbers before and after refinement, size by size, and what was aimed at."""
    if not refinement:
        return []
    settings = refinement.get("settings", {})
    rows = []
    for size, (*nats, before, after) in refinement_rows(refinement):
        both = " → ".join(format_value(value, 1) for value in nats)
        share = f"{format_value(before)} → {format_value(after)}"
        rows.append([f"  given {size}", both, share])
    header = ["", "log p(x, z), nats", "coherence, last: ceiling"]
    said = (
        f"refined by {settings['refine']} of {settings['num_proposals']} proposals"
        if "refine" in settings
        else f"refined by {settings.get('num_transitions', '?')} transitions of "
        f"{settings.get('kernel', '?')} through the decoders"
    )
    if "target" in refinement:
        said += f"; target: {refinement['target']}"
    return [*textwrap.wrap(said, WIDTH), *console(header, rows)]


def _measure(name: str, measured: Mapping[str, Any]) -> list[str]:
    """Every number that the tables of a measure show, a line each."""
    lines = []
    for table in load(name).TABLES:
        for row, values in rows_of(table, measured):
            heading = " ".join(filter(None, (name, table.heading, row)))
            cells = [
                [f"  {column.heading}", format_cell(value, column.digits)]
                for column, value in zip(table.columns, values, strict=True)
            ]
            lines += console([heading, ""], cells)
    return lines
