"""The tables that only some records have; how tables and links are written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.measures.tables import rows_of
from jnf_jax.experiments.records import (
    joint_entropy,
    refinement_rows,
    worst_of_sampler,
)
from jnf_jax.experiments.schema import is_summary
from jnf_jax.experiments.text import (
    ABSENT,
    TextTable,
    by_name,
    format_cell,
    format_value,
    markdown,
    mean_of,
)

# Metrics that only some data sets have: record key -> heading; each name -> value.
MORE_METRICS = {
    "unimodal_log_prob": "log q_j(z|x_j), nats",
    "wrong_bit": "wrong bit, share of draws",
}

Rows = Sequence[Sequence[str]]


def beside(records: Mapping[str, Mapping]) -> list[str]:
    """Every such table, as lines: its sentence and its Markdown."""
    lines = [*prior_table(records)]
    lines += [*_direction_rows(records), *_more_rows(records)]
    lines += [*energy_table(records), *refinement_table(records)]
    for measure in MEASURES:
        if any(measure in record for record in records.values()):
            lines += _measure_rows(measure, records)
    return lines


def table(header: Sequence[str], rows: Rows) -> list[str]:
    """A Markdown table without the columns that are empty in every row."""
    return markdown(TextTable(header, rows))


def link(text: str, target: str) -> str:
    """Markdown, from docs/ to a path of the repository."""
    return f"[{text}](../{target})"


def config_link(text: str, config: str) -> str:
    """The same to the file of a config, as "digits/jnf_after:gmm"."""
    return link(text, f"configs/{config.partition(':')[0]}.py")


def with_interval(value: Any, interval: Mapping[str, Any] | None) -> str:
    """ "0.661 [0.649, 0.673]": of one seed; several have their standard deviation."""
    text = format_value(value)
    if value is None or is_summary(value) or not interval:
        return text
    return f"{text} [{interval['low']:.3f}, {interval['high']:.3f}]"


def sizes_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all rows, as numbers in order: sizes of subsets, steps."""
    return sorted({size for row in rows for size in row}, key=int)


def prior_table(records: Mapping[str, Mapping]) -> list[str]:
    """A row for each prior of each record: what was drawn from it, and the ceiling.

    Records on one stage-one checkpoint share its own prior's row.
    """
    rows, seen = [], set()
    for name, record in records.items():
        coherence = record["coherence"]
        intervals = coherence.get("interval", {}).get("joint", {})
        ceiling = coherence["ceiling"]
        for prior, value in sorted(coherence["joint"].items()):
            of_same = (record["stage1_checkpoint"], prior, str(value))
            if of_same in seen and record["stage1_checkpoint"]:
                continue
            seen.add(of_same)
            rows.append(
                [
                    row_name(name, records),
                    record["dataset"],
                    prior,
                    with_interval(value, intervals.get(prior)),
                    format_value(ceiling),
                    format_value(_share(value, ceiling), digits=2),
                    format_value(joint_entropy(record, prior)),
                ]
            )
    header = ["config", "data", "z from", "joint coherence", "ceiling"]
    header += ["share of it", "label entropy, nats"]
    said = (
        "Unconditional draws, by the prior that z was drawn from. One fitted "
        "afterwards changes nothing else: what is generated from subsets stays that of "
        "the checkpoints that it was fitted to. Their budget is minutes of one "
        "core; [configs/priors.py](../configs/priors.py) has how many draws each saw."
    )
    return ["", said, "", *table(header, rows)] if rows else []


def _share(value: Any, ceiling: Any) -> float | None:
    """The quotient of their means; None where the ceiling is 0."""
    of = [mean_of(x) for x in (value, ceiling)]
    return of[0] / of[1] if of[1] else None


def _direction_rows(records: Mapping[str, Mapping]) -> list[str]:
    """Coherence of every direction S → t, where two or three modalities have names.

    Numbered ones (m0, m1, …) are alike, and of more than three the table is too wide.
    """
    found = {
        name: directions
        for name, record in records.items()
        if (directions := _directions(record.get("subset_coherence", {})))
    }
    headings = sorted({d for some in found.values() for d in some}, key=_by_size)
    rows = [
        [
            row_name(name, records),
            *(format_value(directions.get(heading)) for heading in headings),
        ]
        for name, directions in found.items()
    ]
    said = "Coherence by direction, given → generated, macro-averaged over classes:"
    return ["", said, "", *table(["config", *headings], rows)] if rows else []


def _directions(coherence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"a + b → c": value}; none where the modalities are numbered or more than 3."""
    names = {m for given, targets in coherence.items() for m in (given, *targets)}
    names = {m for m in names if "+" not in m}
    if len(names) > 3 or all(re.fullmatch(r"m\d+", name) for name in names):
        return {}
    return {
        f"{given.replace('+', ' + ')} → {target}": value
        for given, targets in coherence.items()
        for target, value in sorted(targets.items())
    }


def row_name(name: str, records: Mapping[str, Mapping]) -> str:
    """The config of record ``name``; where it has several, by the name of the file."""
    config = records[name]["config"]
    is_only = sum(other["config"] == config for other in records.values()) == 1
    return config_link(config.split("/")[-1] if is_only else Path(name).stem, config)


def _by_size(direction: str) -> tuple[int, str]:
    return direction.count("+"), direction


def _more_rows(records: Mapping[str, Mapping]) -> list[str]:
    """The table of `MORE_METRICS`, where a record has any."""
    header = ["config", *MORE_METRICS.values()]
    rows = [
        [
            row_name(name, records),
            *(by_name(record.get(key)) for key in MORE_METRICS),
        ]
        for name, record in records.items()
        if any(key in record for key in MORE_METRICS)
    ]
    return ["", *table(header, rows)] if rows else []


def refinement_table(records: Mapping[str, Mapping]) -> list[str]:
    """The table of refinement: before and after chains through the decoders."""
    rows = [
        [
            row_name(name, records),
            str(refinement.get("settings", {}).get("num_transitions", ABSENT)),
            size,
            *(format_value(value, digits=1) for value in values[:2]),
            *(format_value(value) for value in values[2:]),
            _worst_of_size(refinement, size).get("max R-hat", ABSENT),
        ]
        for name, record in records.items()
        if (refinement := record.get("refinement"))
        for size, values in refinement_rows(refinement)
    ]
    if not rows:
        return []
    header = ["config", "transitions", "given"]
    header += ["log p(x_S, z), nats", "after", "coherence", "after", "max R-hat"]
    said = (
        "Chains through the decoders, started at the draws of the subset posterior; "
        "given all modalities, the ceiling stands for coherence. Where R-hat is above "
        "1.05 they have not found p(z|x_S), only the way that it is:"
    )
    return ["", said, "", *table(header, rows)]


def _worst_of_size(refinement: Mapping[str, Any], size: str) -> dict[str, str]:
    subsets = refinement.get("subsets", {}).items()
    return worst_of_sampler(
        {name: chains for name, chains in subsets if name.count("+") + 1 == int(size)}
    )


def energy_table(records: Mapping[str, Mapping]) -> list[str]:
    """The table of energy-based priors: coherence by steps, and long chains."""
    found = [
        (name, prior, shares)
        for name, record in records.items()
        for prior, shares in record["coherence"].get("joint_by_steps", {}).items()
    ]
    if not found:
        return []
    steps = sizes_of(shares for _, _, shares in found)
    apart = ("long chains: means apart, sd", "log variances apart", "max R-hat")
    rows = []
    for name, prior, shares in found:
        record = records[name]
        nats = record["coherence"].get("joint_entropy_by_steps", {}).get(prior, {})
        about = record.get("energy_priors", {}).get(prior, {})
        gap = about.get("gap_to_long_run", {}).get("short_run", {})
        rows.append(
            [
                row_name(name, records),
                prior,
                *(
                    f"{format_value(shares.get(k))} ({format_value(nats.get(k))})"
                    for k in steps
                ),
                format_value(gap.get("mean")),
                format_value(gap.get("log_variance")),
                format_value(about.get("long_run", {}).get("rhat_max")),
            ]
        )
    header = ["config", "z from", *(f"{k} steps" for k in steps), *apart]
    return [
        "",
        "Energy-based priors, by the Langevin steps of a draw (0 is the reference; of "
        "one fitted afterwards a normal with the mean and covariance of what it was "
        "fitted to): joint coherence and, in brackets, label entropy. Then how far the "
        "draws lie from long Metropolis-adjusted chains on the density.",
        "",
        *table(header, rows),
    ]


def _measure_rows(measure: str, records: Mapping[str, Mapping]) -> list[str]:
    """The tables that are declared for a measure, where a record has it."""
    lines = []
    for declared in load(measure).TABLES:
        rows = [
            [
                row_name(name, records),
                row,
                *(
                    format_cell(value, column.digits)
                    for value, column in zip(values, declared.columns, strict=True)
                ),
            ]
            for name, record in records.items()
            if measure in record
            for row, values in rows_of(declared, record[measure])
        ]
        if rows:
            headings = [column.heading for column in declared.columns]
            header = ["config", declared.heading, *headings]
            lines += ["", declared.said, "", *table(header, rows)]
    return lines
