"""The page on questions that a paper left open; docs/open_questions.json.

The file names, for each question, the configs whose records answer it and which of
``TABLES`` to show beside their coherence; this module only looks the records up. An
``answer`` says what people make of them so far, and leaves numbers to the tables.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.experiments import config_files
from jnf_jax.experiments.records import joint_entropy
from jnf_jax.experiments.text import ABSENT, by_name, format_value, markdown
from tools.results_page.tables import (
    conditional_of,
    config_link,
    energy_table,
    link,
    refinement_table,
    sizes_of,
)

TABLES = {"energy": energy_table, "refinement": refinement_table}
"""Name in docs/open_questions.json -> records -> lines."""


def page(root: Path, records: Mapping[str, Mapping]) -> list[str]:
    """The lines of docs/results/open_questions.md; none without the file.

    Raises:
        ValueError: A question names a config that is not there, or an unknown table.
    """
    path = root / "docs" / "open_questions.json"
    if not path.is_file():
        return []
    stored = json.loads(path.read_text("utf-8"))
    known = config_files.names(root / "configs")
    lines = [f"# {stored['title']}", "", stored["source"], ""]
    for entry in stored["questions"]:
        missing = [c for c in entry["configs"] if c not in known]
        unknown = [name for name in entry["tables"] if name not in TABLES]
        if missing or unknown:
            raise ValueError(
                f"{path}: {entry['question']!r} names {missing + unknown}, expected "
                f"configs of this repository and tables out of {sorted(TABLES)}"
            )
        lines += [f"## {entry['question']}", ""]
        lines += [entry["answer"], ""] if "answer" in entry else []
        lines += [*_answers(entry, records), ""]
    return lines


def _answers(entry: Mapping[str, Any], records: Mapping[str, Mapping]) -> list[str]:
    """A row for each record of each config, in the order of the file."""
    here = {
        name: record
        for config in entry["configs"]
        for name, record in records.items()
        if record["config"] == config
    }
    sizes = sizes_of(map(conditional_of, here.values()))
    rows = []
    for config in entry["configs"]:
        found = {n: r for n, r in here.items() if r["config"] == config}
        rows += [_row(name, record, sizes) for name, record in found.items()]
        if not found:
            blank = [ABSENT] * (len(sizes) + 5)
            rows.append([_title(config), "not yet run", *blank])
    header = ["config", "data", "seeds", *sizes, "joint", "entropy", "ceiling"]
    lines = markdown([*header, "record"], rows)
    for name in entry["tables"]:
        lines += TABLES[name](here)
    return lines


def _row(name: str, record: Mapping[str, Any], sizes: Sequence[str]) -> list[str]:
    coherence = record["coherence"]
    entropies = {prior: joint_entropy(record, prior) for prior in coherence["joint"]}
    return [
        _title(record["config"]),
        record["dataset"],
        str(len(record["seeds"])),
        *(format_value(coherence["conditional"].get(size)) for size in sizes),
        by_name(coherence["joint"]),
        by_name(entropies),
        format_value(coherence["ceiling"]),
        link(Path(name).stem, name),
    ]


def _title(config: str) -> str:
    """ "digits / jnf_ebm", linked."""
    return config_link(config.replace("/", " / "), config)
