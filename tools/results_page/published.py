"""Published numbers, and in one table with them our records of the same data set."""

from collections.abc import Mapping, Sequence
from typing import Any

from jnf_jax.evaluation.measures.tables import find
from jnf_jax.experiments.schema import is_summary
from jnf_jax.experiments.text import ABSENT, by_name, format_value, markdown, mean_of
from tools.results_page.tables import conditional_of, row_name, sizes_of


def beside_ours(
    published: Mapping[str, Any], section: str, records: Mapping[str, Mapping]
) -> list[str]:
    """The rows of a section under those of our records that generate from subsets.

    ``published`` is docs/published.json, ``section`` a folder of configs/, and
    ``records`` are those of it, by path. There are no lines where nothing is published.
    """
    rows = [row for row in published["rows"] if row["section"] == section]
    if not rows:
        return []
    ours = {n: r for n, r in records.items() if conditional_of(r)}
    sizes = sizes_of(map(conditional_of, [*rows, *ours.values()]))
    header = ["method", "data", *sizes, "joint", "ceiling", "as stated", "protocol"]
    cells = [_of_ours(name, records, sizes) for name in ours]
    cells += [_of_published(row, sizes) for row in rows]
    protocols = sorted({row["protocol"] for row in rows})
    marks = sorted({row["provenance"] for row in rows})
    return [
        "",
        "## Beside published numbers",
        "",
        "Ours are those above: Fréchet distance in the classifiers' features (not "
        "comparable with FID), NLL −log p(X) in nats, KL the mean over "
        "modalities of E log q(z|X) − log q_j(z|x_j). None of the published was "
        "measured under protocol v1, or on our pictures; their ± is as published.",
        "",
        *markdown([*header, "source"], cells),
        "",
        *(f"- **{name}**: {published['protocols'][name]}" for name in protocols),
        *(f"- **[{mark}]**: {published['provenance'][mark]}." for mark in marks),
    ]


def _of_ours(
    name: str, records: Mapping[str, Mapping], sizes: Sequence[str]
) -> list[str]:
    record = records[name]
    coherence = record["coherence"]
    return [
        row_name(name, records),
        record["dataset"],
        *(format_value(coherence["conditional"].get(k)) for k in sizes),
        by_name(coherence["joint"]),
        format_value(coherence["ceiling"]),
        _stated(record) or ABSENT,
        record["protocol"],
        "this repository",
    ]


def _stated(record: Mapping[str, Any]) -> str:
    """Quantities that papers state beside coherence, as far as they were measured."""
    distances = find(record, "frechet.frechet_classifier.conditional") or {}
    found = []
    if distances:
        values = " / ".join(f"{mean_of(value):.1f}" for value in distances.values())
        found = [f"Fréchet distance from {' / '.join(distances)}: {values}"]
    if (log_prob := find(record, "likelihood.joint.log_prob")) is not None:
        found.append(f"joint NLL {-mean_of(log_prob):.0f}")
    if unimodal := find(record, "posterior_match.unimodal"):
        gaps = [mean_of(of["gap"]) for of in unimodal.values() if of["gap"] is not None]
        found += [f"KL {sum(gaps) / len(gaps):.1f}"] if gaps else []
    return " · ".join(found)


def as_published(value: Any) -> str:
    """With the digits that were published, no more: 0.66, 0.6745 ± 0.036."""
    if value is None:
        return ABSENT
    if is_summary(value):
        return f"{value['mean']:g} ± {value['sd']:g}"
    return f"{value:g}"


def _of_published(row: Mapping[str, Any], sizes: Sequence[str]) -> list[str]:
    return [
        row["method"],
        row["dataset"],
        *(as_published(row.get("conditional", {}).get(k)) for k in sizes),
        by_name(row.get("joint"), as_published),
        ABSENT,
        by_name(row.get("stated"), as_published),
        row["protocol"],
        f"{row['source']} [{row['provenance']}]",
    ]
