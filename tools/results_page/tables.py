"""The tables that only some records have; how tables and links are written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.measures.tables import find, rows_of
from jnf_jax.evaluation.sampler_record import stand_in
from jnf_jax.experiments.records import (
    PROPER_BELOW,
    by_properness,
    joint_entropy,
    refinement_rows,
    worst_by_size,
)
from jnf_jax.experiments.schema import is_summary
from jnf_jax.experiments.text import (
    ABSENT,
    Rows,
    by_name,
    format_cell,
    format_duration,
    format_value,
    markdown,
    mean_of,
)
from jnf_jax.names import split_names

# Metrics that only some data sets have: record key -> heading; each name -> value.
MORE_METRICS = {
    "unimodal_log_prob": "log q_j(z|x_j), nats",
    "wrong_bit": "wrong bit, share of draws",
}

# Numbers of an energy-based prior -> their headings.
LONG_CHAINS = {
    "gap_to_long_run.short_run.mean": "long chains: means apart, sd",
    "gap_to_long_run.short_run.log_variance": "log variances apart",
    "long_run.rhat_max": "max R-hat",
}


def beside(records: Mapping[str, Mapping]) -> list[str]:
    """Every such table, as lines: its sentence and its Markdown."""
    lines = [*size_table(records), *paired_table(records)]
    lines += [*prior_table(records), *_direction_rows(records)]
    lines += [*improper_table(records), *_more_rows(records)]
    lines += [*energy_table(records), *refinement_table(records)]
    for measure in MEASURES:
        lines += _measure_rows(measure, records)
    return lines


def _said(said: str, header: Sequence[str], rows: Rows) -> list[str]:
    """A sentence and the table below it; nothing without rows."""
    return ["", said, "", *markdown(header, rows)] if rows else []


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


def conditional_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Coherence by the number of modalities given, of a record or a published row."""
    return record.get("coherence", record).get("conditional", {})


def size_table(records: Mapping[str, Mapping]) -> list[str]:
    """A row for each size of subset, of records whose posterior has a density there, or
    that say how fast they draw."""
    rows = []
    for name, record in records.items():
        densities = _by_size(record.get("subset_log_prob", {}))
        rates = _by_size(record.get("draws_per_second", {}))
        given = find(record, "label_distribution.given") or {}
        # What "nothing, z from" a prior gave is of no subset.
        tv = _by_size({s: _mean(of["tv"]) for s, of in given.items() if "," not in s})
        for size in sorted({*densities, *rates}, key=int):
            rows.append(
                [
                    row_name(name, records),
                    size,
                    format_value(conditional_of(record).get(size)),
                    format_value(densities.get(size), 2),
                    format_value(tv.get(size)),
                    format_value(rates.get(size), 0),
                    format_duration(record["training_seconds"])
                    if "training_seconds" in record
                    else ABSENT,
                ]
            )
    header = ["config", "given", "coherence", "log q(z|x_S), nats", "TV of labels"]
    header += ["draws/s", "training"]
    said = (
        "By the number of views given, means over subsets: log q of z from the joint "
        "posterior of test tuples, comparable on one stage one alone; total variation "
        "of generated labels from the truth where x_S leaves one open; draws of z a "
        "second, encoders included; and how long all stages were trained."
    )
    return _said(said, header, rows)


def _by_size(of_subset: Mapping[str, Any]) -> dict[str, float]:
    """{names of S: value} -> {|S|: mean}."""
    of_size: dict[str, dict[str, Any]] = {}
    for subset, value in of_subset.items():
        of_size.setdefault(str(len(split_names(subset))), {})[subset] = value
    return {size: _mean(values) for size, values in of_size.items()}


def _mean(values: Mapping[str, Any]) -> float:
    return sum(map(mean_of, values.values())) / len(values)


def paired_table(records: Mapping[str, Mapping]) -> list[str]:
    """Differences of coherence on the same tuples: between sizes, and between runs."""
    compared = []
    for name, record in records.items():
        found = {"one view fewer": find(record, "coherence.gain") or {}}
        found |= find(record, "coherence.against") or {}
        compared += [(row_name(name, records), *pair) for pair in found.items()]
    sizes = sizes_of(by_size for _, _, by_size in compared)
    rows = [
        [config, other, *(_difference(by_size.get(size)) for size in sizes)]
        for config, other, by_size in compared
        if by_size
    ]
    said = (
        "Coherence less that of the same tuples given one view fewer, or by another "
        "run; ± the standard error over tuples, of one seed of training."
    )
    return _said(said, ["config", "less that of", *(f"given {k}" for k in sizes)], rows)


def _difference(found: Mapping[str, Any] | None) -> str:
    """ "+0.031 ± 0.004"; of several seeds their mean and standard deviation."""
    if found is None:
        return ABSENT
    value, error = found["difference"], found["standard_error"]
    if is_summary(value) or error is None:
        return format_value(value)
    return f"{value:+.3f} ± {error:.3f}"


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
            most = mean_of(ceiling)
            share = mean_of(value) / most if most else None
            rows.append(
                [
                    row_name(name, records),
                    record["dataset"],
                    prior,
                    with_interval(value, intervals.get(prior)),
                    format_value(ceiling),
                    format_value(share, digits=2),
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
    return _said(said, header, rows)


def _direction_rows(records: Mapping[str, Mapping]) -> list[str]:
    """Coherence of every direction S → t, where two or three modalities have names.

    Numbered ones (m0, m1, …) are alike, and of more than three the table is too wide.
    """
    found = {
        name: directions
        for name, record in records.items()
        if (directions := _directions(record.get("subset_coherence", {})))
    }
    headings = {d for some in found.values() for d in some}
    headings = sorted(headings, key=lambda d: (len(split_names(d)), d))
    rows = [
        [row_name(name, records), *(format_value(of.get(d)) for d in headings)]
        for name, of in found.items()
    ]
    said = "Coherence by direction, given → generated, macro-averaged over classes:"
    return _said(said, ["config", *headings], rows)


def _directions(coherence: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{"a + b → c": value}; none where the modalities are numbered or more than 3."""
    names = {m for given, targets in coherence.items() for m in (given, *targets)}
    names = {m for m in names if len(split_names(m)) == 1}
    if len(names) > 3 or all(re.fullmatch(r"m\d+", name) for name in names):
        return {}
    return {
        f"{' + '.join(split_names(given))} → {target}": value
        for given, targets in coherence.items()
        for target, value in sorted(targets.items())
    }


def improper_table(records: Mapping[str, Mapping]) -> list[str]:
    """The table of subsets whose quotient is a density beside those where it is none.

    Records where it is one for all sizes, or where nobody knows, have no row.
    """
    rows = []
    for name, record in records.items():
        sampler = record["sampler"]
        replaced = sampler.get("stand_in") or stand_in(sampler)
        for size, (proper, improper) in by_properness(record).items():
            low, high = (f"{100 * share:.0f}" for share in improper.share_improper)
            rows.append(
                [
                    row_name(name, records),
                    size,
                    str(proper.num_subsets),
                    format_value(proper.coherence),
                    str(improper.num_subsets),
                    f"{low} %" if low == high else f"{low} to {high} %",
                    format_value(improper.coherence),
                    replaced,
                ]
            )
    header = ["config", "given", "proper subsets", "coherence"]
    header += ["improper subsets", "of their data", "coherence", "what stands in"]
    said = (
        "Products of experts over a divisor's powers need not be a density: "
        "coherence of the subsets where the experts' bases say that it is one for more "
        f"than {100 * (1 - PROPER_BELOW):.0f} % of the data, and of the others, where "
        "something else is drawn. Averages over subsets, as above, are of two "
        "estimators there."
    )
    return _said(said, header, rows)


def row_name(name: str, records: Mapping[str, Mapping]) -> str:
    """The config of record ``name``; where it has several, by the name of the file."""
    config = records[name]["config"]
    is_only = sum(other["config"] == config for other in records.values()) == 1
    return config_link(config.split("/")[-1] if is_only else Path(name).stem, config)


def _more_rows(records: Mapping[str, Mapping]) -> list[str]:
    """The table of `MORE_METRICS`, where a record has any."""
    rows = [
        [row_name(name, records), *(by_name(record.get(key)) for key in MORE_METRICS)]
        for name, record in records.items()
        if any(key in record for key in MORE_METRICS)
    ]
    return ["", *markdown(["config", *MORE_METRICS.values()], rows)] if rows else []


def refinement_table(records: Mapping[str, Mapping]) -> list[str]:
    """The table of refinement: before and after chains through the decoders."""
    rows = [
        [
            row_name(name, records),
            str(refinement.get("settings", {}).get("num_transitions", ABSENT)),
            size,
            *(format_value(value, digits=1) for value in values[:2]),
            *(format_value(value) for value in values[2:]),
            worst_by_size(refinement).get(size, {}).get("max R-hat", ABSENT),
        ]
        for name, record in records.items()
        if (refinement := record.get("refinement"))
        for size, values in refinement_rows(refinement)
    ]
    header = ["config", "transitions", "given"]
    header += ["log p(x_S, z), nats", "after", "coherence", "after", "max R-hat"]
    said = (
        "Chains through the decoders, started at the draws of the subset posterior; "
        "given all modalities, the ceiling stands for coherence. Where R-hat is above "
        "1.05 they have not found p(z|x_S), only the way that it is:"
    )
    return _said(said, header, rows)


def energy_table(records: Mapping[str, Mapping]) -> list[str]:
    """The table of energy-based priors: coherence by steps, and long chains."""
    found = [
        (name, prior, shares)
        for name, record in records.items()
        for prior, shares in record["coherence"].get("joint_by_steps", {}).items()
    ]
    steps = sizes_of(shares for _, _, shares in found)
    rows = []
    for name, prior, shares in found:
        nats = find(records[name], f"coherence.joint_entropy_by_steps.{prior}") or {}
        both = [[format_value(of.get(k)) for of in (shares, nats)] for k in steps]
        apart = [find(records[name], f"energy_priors.{prior}.{p}") for p in LONG_CHAINS]
        cells = [f"{share} ({entropy})" for share, entropy in both]
        cells += map(format_value, apart)
        rows.append([row_name(name, records), prior, *cells])
    said = (
        "Energy-based priors, by the Langevin steps of a draw (0 is the reference; of "
        "one fitted afterwards a normal with the mean and covariance of what it was "
        "fitted to): joint coherence and, in brackets, label entropy. Then how far the "
        "draws lie from long Metropolis-adjusted chains on the density."
    )
    header = ["config", "z from", *(f"{k} steps" for k in steps)]
    return _said(said, [*header, *LONG_CHAINS.values()], rows)


def _measure_rows(measure: str, records: Mapping[str, Mapping]) -> list[str]:
    """The tables that are declared for a measure, where a record has it."""
    lines = []
    for declared in load(measure).TABLES:
        columns = declared.columns
        rows = [
            [row_name(name, records), row]
            + [format_cell(v, c.digits) for v, c in zip(values, columns, strict=True)]
            for name, record in records.items()
            if measure in record
            for row, values in rows_of(declared, record[measure])
        ]
        header = ["config", declared.heading, *(column.heading for column in columns)]
        lines += _said(declared.said, header, rows)
    return lines
