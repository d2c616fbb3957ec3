"""What lies in the page itself: pictures and sounds as data: URLs, and how many fit."""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.page.runs import Run

MAX_BYTES = 13_500_000
"""Of everything that is embedded."""

_MEDIA = {".png": "image/png", ".wav": "audio/wav"}


def that_fit(runs: Sequence[Run]) -> frozenset[Path]:
    """Files that are embedded: explorers first, then grids, a turn for each run."""
    groups = [[run.kept / name for name in _kept_names(run)] for run in runs]
    longest = max(len(run.samples) for run in runs)
    for turn in range(longest):
        groups += [[run.samples[turn]] for run in runs if turn < len(run.samples)]
    found, room = set(), MAX_BYTES
    for files in groups:
        size = sum(path.stat().st_size * 4 // 3 for path in files if path.is_file())
        if size <= room and all(path.is_file() for path in files):
            found |= {*files}
            room -= size
    return frozenset(found)


def _kept_names(run: Run) -> Iterator[str]:
    """Names of the sheets and sounds of a run's explorer."""
    for view in views_of(run).values():
        yield view["file"]
        for row in view["rows"]:
            yield from (told["sound"] for told in row.values() if "sound" in told)


def views_of(run: Run) -> dict[str, Any]:
    """What `about.json` says of each view that can be explored; {} without."""
    return (run.shown or {}).get("views") or {}


def data_url(path: Path) -> str:
    """A file as text that stands where an address would."""
    kind = _MEDIA.get(path.suffix.lower(), "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def explorable(runs: Sequence[Run], embedded: frozenset[Path]) -> list[Run]:
    """The runs whose draws were kept and fit into the page."""
    return [
        run
        for run in runs
        if views_of(run)
        and all(run.kept / name in embedded for name in _kept_names(run))
    ]


def sheets(runs: Sequence[Run], embedded: frozenset[Path]) -> str:
    """A rule of style for each sheet, so that it lies in the page once."""
    return "".join(
        f".s{i}-{j}{{background-image:url({data_url(run.kept / view['file'])})}}\n"
        for i, run in enumerate(explorable(runs, embedded))
        for j, view in enumerate(views_of(run).values())
    )


def explored_json(runs: Sequence[Run], embedded: frozenset[Path]) -> str:
    """What the script shows; "<" is written so that it cannot end the element."""
    found = []
    for i, run in enumerate(explorable(runs, embedded)):
        views = {}
        for j, (m, view) in enumerate(views_of(run).items()):
            rows = [
                {
                    place: told | ({"sound": data_url(run.kept / told["sound"])}
                                   if "sound" in told else {})
                    for place, told in row.items()
                }
                for row in view["rows"]
            ]  # fmt: skip
            kept = {name: view[name] for name in ("cell", "columns")}
            views[m] = kept | {"rows": rows, "sheet": f"s{i}-{j}"}
        about = {key: run.shown[key] for key in ("tuples", "labels", "given", "priors")}
        found.append(about | {"views": views})
    return json.dumps(found, allow_nan=False).replace("<", "\\u003c")
