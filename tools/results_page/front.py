"""docs/results.md: what was learnt, ours by budget with the published beside, figures.

README.md shows one table of it, between two comments. docs/summary.json chooses the
records and the published rows, and holds the sentences. A number in a sentence is
looked up: ``{digits/jnf_paper:coherence.ceiling}`` stands for that quantity of
results/digits/jnf_paper.json.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.experiments.ablations import look_up
from jnf_jax.experiments.text import (
    ABSENT,
    by_name,
    format_duration,
    format_value,
    markdown,
    mean_of,
)
from tools.results_page.published import as_published
from tools.results_page.tables import conditional_of, link, sizes_of

INTRODUCTION = """\
# Results

Every number of ours comes from a record in `results/` ([schema](results_schema.md)).
This page shows a selection by budget; behind it stands everything that was measured,
with the command, the commit and the hardware of each record.
"""
HOW_TO_READ = """\
## How to read the tables

Coherence *k* is conditional coherence given *k* modalities, macro-averaged over
classes and averaged over targets outside the given ones and over subsets. Joint
coherence is given for each prior that z was drawn from ("normal" is N(0, I)); read it
beside the label entropy of the agreed draws (nats; log 10 = 2.303 at best) and the
ceiling, the same agreement on reconstructions. ± is the standard deviation over
training seeds; of one seed [a, b] is a bootstrap interval over test tuples or draws,
95 %. "–" is "not measured".
"""


def page(
    root: Path,
    records: Mapping[str, Mapping[str, Any]],
    published: Mapping[str, Any],
    pages: Mapping[str, Sequence[str]],
) -> list[str]:
    """The lines of docs/results.md, from path -> record and docs/published.json.

    ``pages`` are path -> lines of the pages behind this one.

    Raises:
        ValueError: docs/summary.json names a record, a quantity or a published row that
            is not there.
    """
    path = root / "docs" / "summary.json"
    lines = [INTRODUCTION]
    if path.is_file():
        summary = json.loads(path.read_text("utf-8"))
        lines += ["## What was learnt", ""]
        lines += [f"- {_filled(said, records)}" for said in summary["learnt"]]
        lines += ["", "## Ours by budget, the published beside", ""]
        lines += [summary["published"], ""]
        for chosen in summary["tables"]:
            lines += [f"### {chosen['title']}", ""]
            lines += [*_table(chosen, records, published), ""]
            lines += [_filled(said, records) for said in chosen.get("said", [])]
            lines += [""] * bool(chosen.get("said"))
        lines += ["## Figures", ""]
        for figure in summary["figures"]:
            lines += [f"![{figure['said']}]({figure['path']})", "", figure["said"], ""]
    lines += ["## Everything that was measured", ""]
    for name, behind in pages.items():
        title = behind[0].removeprefix("# ")
        lines.append(f"- [{title}]({Path(name).relative_to('docs').as_posix()})")
    return [*lines, "", HOW_TO_READ]


README_MARKS = (
    "<!-- What follows is written by `python -m tools.results_page`. -->",
    "<!-- Here ends what is written. -->",
)


def readme(
    text: str,
    root: Path,
    records: Mapping[str, Mapping[str, Any]],
    published: Mapping[str, Any],
) -> str:
    """README.md with its table made anew; the other arguments are those of `page`.

    Raises:
        ValueError: One of both marks is missing, or as for `page`.
    """
    begin, end = README_MARKS
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"README.md lacks {begin!r} and {end!r}, expected each once")
    chosen = json.loads((root / "docs" / "summary.json").read_text("utf-8"))["readme"]
    ours = {label: _record(name, records) for label, name in chosen["ours"].items()}
    theirs = _published_rows(chosen, published)
    sizes = sizes_of(map(conditional_of, [*ours.values(), *theirs]))
    rows = [[label, *_coherences(of, sizes), _budget(of)] for label, of in ours.items()]
    rows += [
        [f"{row['method']}, published", *_coherences(row, sizes), "GPU"]
        for row in theirs
    ]
    header = ["PolyMNIST: coherence given", *sizes, "budget"]
    before, after = text.partition(begin)[0], text.partition(end)[2]
    shown = "\n".join([*markdown(header, rows), "", chosen["said"]])
    return f"{before}{begin}\n\n{shown}\n\n{end}{after}"


def _coherences(record: Mapping[str, Any], sizes: Sequence[str]) -> list[str]:
    return [format_value(conditional_of(record).get(k), 2) for k in sizes]


def _budget(record: Mapping[str, Any]) -> str:
    return f"{format_duration(record['wall_seconds'])}, {record['hardware']}"


def _published_rows(
    chosen: Mapping[str, Any], published: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The published rows that docs/summary.json chooses, in its order."""
    rows = [r for r in published["rows"] if r["section"] == chosen.get("section")]
    theirs = {row["method"]: row for row in rows}
    if unknown := sorted(set(chosen.get("published", [])) - set(theirs)):
        raise ValueError(
            f"docs/summary.json names {unknown}, expected methods of docs/published."
            f"json in section {chosen.get('section')!r}: {sorted(theirs)}"
        )
    return [theirs[method] for method in chosen.get("published", [])]


def _record(name: str, records: Mapping[str, Mapping]) -> Mapping[str, Any]:
    path = f"results/{name}.json"
    if path not in records:
        raise ValueError(f"docs/summary.json names {path}, expected a record")
    return records[path]


def _filled(sentence: str, records: Mapping[str, Mapping]) -> str:
    """Fills in the quantities, with two digits and the spread of seeds."""

    def look(match: re.Match) -> str:
        return format_value(look_up(_record(match[1], records), match[2]), digits=2)

    return re.sub(r"\{([\w/.+]+):([\w.+]+)\}", look, sentence)


def _table(
    chosen: Mapping[str, Any],
    records: Mapping[str, Mapping],
    published: Mapping[str, Any],
) -> list[str]:
    """Our records by wall time, then the published rows."""
    ours = {name: _record(name, records) for name in chosen["records"]}
    theirs = _published_rows(chosen, published)
    sizes = sizes_of(map(conditional_of, [*ours.values(), *theirs]))
    cells = []
    for name in sorted(ours, key=lambda name: mean_of(ours[name]["wall_seconds"])):
        coherence = ours[name]["coherence"]
        cells.append(
            [
                link(Path(name).name, f"results/{name}.json"),
                _budget(ours[name]),
                str(len(ours[name]["seeds"])),
                *_coherences(ours[name], sizes),
                by_name(coherence["joint"], lambda value: format_value(value, 2)),
                format_value(coherence["ceiling"], 2),
            ]
        )
    for row in theirs:
        stated = by_name(row.get("joint") or _stated(row), as_published)
        values = [as_published(conditional_of(row).get(k)) for k in sizes]
        whose = f"{row['method']} [{row['provenance']}]"
        cells.append([whose, "published", ABSENT, *values, stated, ABSENT])
    header = ["record", "budget", "seeds", *sizes]
    header += ["joint coherence by prior, or as stated", "ceiling"]
    return markdown(header, cells)


def _stated(row: Mapping[str, Any]) -> dict[str, Any]:
    """Coherences that a paper states under names of its own."""
    stated = row.get("stated", {})
    return {k: v for k, v in stated.items() if "FID" not in k and "NLL" not in k}
