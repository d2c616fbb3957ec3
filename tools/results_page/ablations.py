"""The page on ablations: a table, a plot and its provenance for each sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.experiments import ablations, records
from tools.results_page.tables import config_link, link


def load(root: Path, configs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Path -> ablation, of every file in results/ablations/.

    Raises:
        ValueError: One is not valid, or its sweep is not in the repository.
    """
    found = {}
    for path in sorted((root / "results" / "ablations").glob("*.json")):
        ablation = records.read(path, ablations.faults_of)
        if ablation["sweep"] not in configs:
            raise ValueError(
                f"{path}: `sweep` is {ablation['sweep']!r}, expected one of {configs}"
            )
        commits = [variant["record"]["commit"] for variant in ablation["variants"]]
        if "unknown" in commits:
            raise ValueError(f"{path}: a commit is unknown, expected those that ran")
        found[path.relative_to(root).as_posix()] = ablation
    return found


def page(root: Path, configs: Sequence[str]) -> list[str]:
    """The lines of docs/results/ablations.md for sweeps ``configs``; none without."""
    found = load(root, configs)
    lines = ["# Ablations", ""]
    lines += ["`python -m jnf_jax.sweep --config CONFIG --workdir DIR` runs each.", ""]
    for name, ablation in found.items():
        stem = Path(name).stem
        lines += [f"## {stem} ({config_link('config', ablation['sweep'])})", ""]
        lines += [*ablations.table_of(ablation), ""]
        picture = Path(name).with_suffix(".png")
        if (root / picture).is_file():
            lines += [f"![{stem}](../{picture.as_posix()})", ""]
        lines += [*_came_about(ablation), f"- {link('all records', name)}", ""]
    run = {ablation["sweep"] for ablation in found.values()}
    waiting = [config_link(c.partition("/")[2], c) for c in configs if c not in run]
    if waiting:
        lines += [f"Not yet run: {', '.join(waiting)}.", ""]
    return lines if found or waiting else []


def _came_about(ablation: Mapping[str, Any]) -> list[str]:
    """How its records came about."""
    found = [variant["record"] for variant in ablation["variants"]]

    def of_any(key: str) -> str:
        return ", ".join(dict.fromkeys(str(record[key]) for record in found))

    commits = dict.fromkeys(r["commit"][:7] + r["commit"][40:] for r in found)
    notes = dict.fromkeys(note for r in found for note in r.get("notes", []))
    return [
        f"- `{ablation['command']}`",
        f"- protocol {of_any('protocol')}; seeds {of_any('seeds')}; commit "
        f"{', '.join(commits)}; {of_any('hardware')}",
        f"- stage one: `{of_any('stage1_checkpoint')}`",
        *(f"- {note}" for note in [*ablation.get("notes", []), *notes]),
    ]
