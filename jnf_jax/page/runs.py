"""What a page reads of a run: the files that training and evaluation left."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jnf_jax.experiments.logs import read_records
from jnf_jax.runtime.files import read_json

KEPT, PAGE = "report", "report.html"
"""In a run's folder: what the page shows of the model, and the page."""


class Run(NamedTuple):
    """A folder of a run, or of several seeds of one.

    Attributes:
        name: By which the page tells it from the others.
        folder: As the user named it.
        about: `config.json`, the first seed's.
        model: `model.json`, likewise; {} before training has ended.
        record: `results.json`, or `unfinished.json`; None where it was not evaluated.
        metrics: {seed, "" of a single run: lines of `metrics.jsonl`}.
        kept: Folder of what the model drew; the first seed's.
        shown: `about.json` in it; None where nothing was kept.
        samples: Sample grids.
    """

    name: str
    folder: Path
    about: Mapping[str, Any]
    model: Mapping[str, Any]
    record: Mapping[str, Any] | None
    metrics: Mapping[str, Sequence[Mapping[str, Any]]]
    kept: Path
    shown: Mapping[str, Any] | None
    samples: Sequence[Path]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads runs, each under a name of its own.

    Raises:
        ValueError: No folder, one given twice, or one that is no folder of a run.
    """
    if not folders:
        raise ValueError("no folder is given, expected one or more runs of training")
    places = [Path(folder).resolve() for folder in folders]
    for place, folder in zip(places, folders, strict=True):
        if places.count(place) > 1:
            raise ValueError(f"{folder} is given twice")
    common = os.path.commonpath([place.parent for place in places])
    names = [place.relative_to(common).as_posix() for place in places]
    return [read_run(f, name) for f, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """Reads one run; of several seeds all curves, and the rest from the first.

    Raises:
        ValueError: ``folder`` is none of a run; a file is damaged.
    """
    folder = Path(folder)
    seeds = {"": folder}
    if not (folder / "config.json").is_file():
        found = [path.parent for path in folder.glob("seed_*/config.json")]
        seeds = {path.name[5:]: path for path in sorted(found, key=_number)}
    if not seeds:
        raise ValueError(
            f"{folder} has no config.json, nor has a folder seed_* in it: expected the "
            "folder of a run of jnf_jax.train"
        )
    first = next(iter(seeds.values()))
    kept = first / KEPT
    return Run(
        name=name,
        folder=folder,
        about=read_json(first / "config.json", config=dict),
        model=_if_there(first / "model.json") or {},
        record=_if_there(folder / "results.json")
        or _if_there(folder / "unfinished.json")
        or (_if_there(first / "results.json") if len(seeds) == 1 else None),
        metrics={s: read_records(f / "metrics.jsonl") for s, f in seeds.items()},
        kept=kept,
        shown=_if_there(kept / "about.json"),
        samples=sorted((first / "samples").glob("*.png"), key=_order),
    )


def _if_there(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _number(path: Path) -> int:
    digits = re.sub(r"\D", "", path.name)
    return int(digits or 0)


def _order(path: Path) -> tuple[bool, bool, str]:
    """The table of all first, then draws from priors, then the others."""
    name = path.name
    return name != "any_to_any.png", not name.startswith("unconditional"), name


def config_of(run: Run) -> dict[str, Any]:
    """Its config, flat: {"model.latent_dim": 16, …}."""
    return dict(_flat("", run.about["config"]))


def _flat(path: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(path, value)]
    before = f"{path}." if path else ""
    return [pair for key in value for pair in _flat(before + key, value[key])]


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """{field: its value in each run}, where they differ; ``ABSENT`` where it lacks."""
    configs = [config_of(run) for run in runs]
    fields = sorted({field for config in configs for field in config})
    values = {f: [config.get(f, ABSENT) for config in configs] for f in fields}
    return {f: of for f, of in values.items() if any(v != of[0] for v in of)}


ABSENT = "–"
