"""Renders docs/results.md, the pages behind it and README's table from the records.

    python -m tools.results_page            # write them
    python -m tools.results_page --check    # exit 1 if any is out of date

docs/results.md is one page (``front.py``). Behind it stands a page for each folder of
configs/: a row for each record in the folder of that name in results/ (its config may
be another data set's, overridden), a row "not yet run" for each config without one, and
the published numbers with what sets them apart. Two more show what the records say on
the questions of docs/open_questions.json, and the ablations.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.experiments import config_files
from jnf_jax.experiments.records import read, sampler_kernel, worst_of_sampler
from jnf_jax.experiments.text import ABSENT, Rows, by_name, format_duration, markdown
from tools.results_page import ablations, front, published, questions
from tools.results_page.tables import (
    beside,
    conditional_of,
    config_link,
    link,
    row_name,
    sizes_of,
    with_interval,
)

ABLATIONS = "ablations"  # the folder of their configs, and of their records
TEMPLATES = "own/"  # configs for other people's data
TITLES = {
    "circles_squares": "Circles and squares (toy set)",
    "cub": "CUB pictures and captions",
    "digits": "Handwritten digits (from scikit-learn)",
    "handwriting": "Handwriting, its trajectory, and speech",
    "mhd": "MHD (Multimodal Handwritten Digits)",
    "mnist_svhn": "MNIST–SVHN",
    "polymnist": "PolyMNIST",
    "quadrants": "Digits in quadrants",
    "translated_polymnist": "Translated PolyMNIST",
}
NOT_BY_HAND = (
    "<!-- Written by `python -m tools.results_page`. Change the records, not this. -->"
)
BACK = (
    "[All results](../results.md) · "
    "[how to read the tables](../results.md#how-to-read-the-tables)"
)


def load_records(root: Path) -> dict[str, dict[str, Any]]:
    """Path relative to ``root`` -> record, for every JSON under results/ but ablations.

    Raises:
        ValueError: A record is not valid, or not finished, or cannot be traced: no
            commit, or a config that is not in the repository.
    """
    records, configs = {}, config_files.names(root / "configs")
    for path in sorted((root / "results").rglob("*.json")):
        if path.parent.name == ABLATIONS:
            continue
        name = path.relative_to(root).as_posix()
        record = read(path)
        if record["commit"] == "unknown":
            raise ValueError(f"{name}: `commit` is unknown, expected the one that ran")
        if "unfinished" in record:
            waiting = record["unfinished"]
            raise ValueError(f"{name}: `unfinished` is {waiting}, expected none")
        if record["config"] not in configs:
            raise ValueError(
                f"{name}: `config` is {record['config']!r}, expected one of this "
                "repository, as `python -m jnf_jax.train --list` prints them"
            )
        records[name] = record
    return records


def _our_rows(
    records: Mapping[str, Mapping], configs: Sequence[str], sizes: Sequence[str]
) -> Rows:
    """A row for each record, then for each config that no record names."""
    rows = []
    for name, record in records.items():
        coherence, conditional = record["coherence"], conditional_of(record)
        intervals = coherence.get("interval", {})
        bounds = intervals.get("conditional", {})
        rows.append(
            [
                row_name(name, records),
                record["method"],
                record["dataset"],
                record["protocol"],
                str(len(record["seeds"])),
                *(with_interval(conditional.get(k), bounds.get(k)) for k in sizes),
                with_interval(coherence["ceiling"], intervals.get("ceiling")),
                by_name(record["classifiers"]),
                record["hardware"],
                format_duration(record["wall_seconds"]),
                link(record["commit"][:7] + record["commit"][40:], name),
            ]
        )
    run = {record["config"] for record in records.values()}
    for config in configs:
        if config not in run:
            blank = [ABSENT] * (len(sizes) + 8)
            named = config_link(config.partition("/")[2], config)
            rows.append([named, "not yet run", *blank])
    return rows


def _provenance(records: Mapping[str, Mapping]) -> list[str]:
    """How each record came about: command, stage one, sampler, notes."""
    lines = []
    for name, record in records.items():
        stage = record["stage1_checkpoint"]
        lines.append(f"- {link(Path(name).stem, name)}: `{record['command']}`")
        if "evaluation_command" in record:
            commit = record.get("evaluation_commit")
            at = f" at {commit[:7]}{commit[40:]}" if commit else ""
            hardware = record.get("evaluation_hardware", record["hardware"])
            at += f", on {hardware}" if hardware != record["hardware"] else ""
            lines.append(f"  - then `{record['evaluation_command']}`{at}")
        if stage:
            lines.append(f"  - stage one: `{stage}`")
        worst = worst_of_sampler(record["sampler"].get("subsets", {}))
        if worst:
            found = ", ".join(f"{heading} {text}" for heading, text in worst.items())
            kernel = sampler_kernel(record["sampler"])
            settings = record["sampler"].get("settings", {})
            if (settings.get("divisor") or "prior") != "prior":
                kernel += f", divided by {settings['divisor']!r}"
            if weight := settings.get("defensive_weight"):
                kernel += f", defensive weight {weight:.2g}"
            lines.append(f"  - {kernel}, worst subset: {found}")
        lines += [f"  - {note}" for note in record.get("notes", [])]
    return ["", "How they came about:", "", *lines] if lines else []


def pages(root: Path) -> dict[str, str]:
    """Path -> text of docs/results.md, the pages behind it, and README.md.

    ``root`` is the repository, with results/, configs/ and docs/published.json. The
    same files always give the same text.

    Raises:
        ValueError: As `load_records`, `ablations.page`, `questions.page`, `front.page`.
    """
    records, found = load_records(root), config_files.names(root / "configs")
    sweeps = [config for config in found if config.startswith(f"{ABLATIONS}/")]
    others = {*sweeps, *(c for c in found if c.startswith(TEMPLATES))}
    configs = [config for config in found if config not in others]
    known = json.loads((root / "docs" / "published.json").read_text("utf-8"))
    folder = {name: Path(name).parent.name for name in records}
    behind = {
        section: _data_set(
            section,
            {name: r for name, r in records.items() if folder[name] == section},
            [c for c in configs if c.startswith(f"{section}/")],
            known,
        )
        for section in sorted(
            {config.partition("/")[0] for config in configs} | set(folder.values())
        )
    }
    behind |= {
        "open_questions": questions.page(root, records),
        ABLATIONS: ablations.page(root, sweeps),
    }
    behind = {f"docs/results/{name}.md": of for name, of in behind.items() if of}
    summary = front.page(root, records, known, behind)
    texts = {"docs/results.md": [NOT_BY_HAND, "", *summary]}
    for name, (title, *lines) in behind.items():
        # Links are written from docs/, and these pages are one folder below.
        below = [line.replace("](../", "](../../") for line in lines]
        texts[name] = [NOT_BY_HAND, "", title, "", BACK, *below]
    found = {name: "\n".join(lines).rstrip() + "\n" for name, lines in texts.items()}
    readme = root / "README.md"
    if readme.is_file():
        text = readme.read_text("utf-8")
        found["README.md"] = front.readme(text, root, records, known)
    return found


def _data_set(
    section: str,
    records: Mapping[str, Mapping],
    configs: Sequence[str],
    known: Mapping[str, Any],
) -> list[str]:
    """The lines of docs/results/<section>.md."""
    sizes = sizes_of(map(conditional_of, records.values()))
    header = ["config", "method", "data", "protocol", "seeds", *sizes, "ceiling"]
    header += ["classifiers", "hardware", "wall time", "commit, record"]
    lines = [f"# {TITLES.get(section, section)}", ""]
    lines += markdown(header, _our_rows(records, configs, sizes))
    lines += [*beside(records), *_provenance(records)]
    return [*lines, *published.beside_ours(known, section, records), ""]


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.results_page",
        description="Render docs/results.md and docs/results/ from the records.",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if it would change"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("."), help="the repository (default: here)"
    )
    args = parser.parse_args(argv)
    folder = args.root / "docs" / "results"
    if not folder.parent.is_dir():
        parser.error(f"{args.root} has no docs/: run it in the repository, or --root")
    wanted = {args.root / name: text for name, text in pages(args.root).items()}
    known = {*folder.glob("*.md"), *(path for path in wanted if path.is_file())}
    wrong = [path for path in known if path not in wanted]
    wrong += [
        p
        for p, text in wanted.items()
        if p not in known or p.read_text("utf-8") != text
    ]
    for path in sorted(wrong):
        if args.check:
            print(f"{path} is out of date: run python -m tools.results_page")
        elif path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            print(f"wrote {path}")
        else:
            path.unlink()
            print(f"removed {path}")
    return int(args.check and bool(wrong))
