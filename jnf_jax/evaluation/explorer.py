"""Keeps in a run's folder what a page shows of its model, so that none has to be run.

::

    about.json            the views, what was given, which cell lies where; latents
    <view>.png            a sheet: a row a test tuple, a column a thing drawn of it
    <view>_<row>_<column>.wav   sounds, where a data set writes them

Columns of a sheet are named in ``about.json`` by what was given: "truth", the names of
a subset as ``join_names`` joins them, or "prior <name>".
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.evaluation import measures, pictures
from jnf_jax.evaluation.measures.tables import Column
from jnf_jax.evaluation.samples import as_pictures
from jnf_jax.names import file_name, join_names
from jnf_jax.runtime import processes
from jnf_jax.runtime.files import write_whole

FORMAT = 1

NUM_TUPLES, NUM_DRAWS = 6, 4
"""Test tuples that are kept, and draws of each."""

MAX_SUBSETS = 30
"""All of five views."""

MAX_SIDE = 96
"""Pixels of a cell."""

MAX_PIXELS = 800_000
"""Of all sheets together; fewer tuples are kept where there are more."""

NUM_HEARD = 2
"""Draws that are kept as sounds or texts."""

MAX_POINTS = 1_000
"""Tuples in the map of latents."""


class Explored(NamedTuple):
    """What was drawn, as f32[N * K, *shape]: the K draws of a tuple follow one another.

    Attributes:
        rows: i32[N], which test tuples they are.
        labels: Of these; None without.
        num_draws: K.
        truth: {view: f32[N, *shape]}.
        given: {subset: {view that was not given: draws}}.
        priors: {prior: {view: draws}}, of no tuple.
    """

    rows: np.ndarray
    labels: np.ndarray | None
    num_draws: int
    truth: Mapping[str, np.ndarray]
    given: Mapping[tuple[str, ...], Mapping[str, np.ndarray]]
    priors: Mapping[str, Mapping[str, np.ndarray]]


class Latents(NamedTuple):
    """z of test tuples given all views, f32[P, D], labels, and z by prior."""

    joint: np.ndarray
    labels: np.ndarray | None
    priors: Mapping[str, np.ndarray]


def keep(
    dataset: Dataset, explored: Explored | None, latents: Latents, folder: Path
) -> list[Path]:
    """Writes the folder anew, and returns its files; the first process alone does.

    ``explored`` None: nothing was drawn of tuples, and the latents are all there is.
    """
    if not processes.is_first():
        return []
    for old in folder.glob("*") if folder.is_dir() else ():
        old.unlink()
    about = {"format": FORMAT, "latents": _mapped(latents), "tables": _declared()}
    written = []
    if explored is not None:
        views = {}
        for m, cells in _cells(dataset, explored).items():
            views[m], files = _write_view(dataset, m, cells, folder)
            written += files
        num = min(len(of["rows"]) for of in views.values())
        about |= {
            "tuples": [int(row) for row in explored.rows[:num]],
            "labels": _listed(explored.labels, num),
            "given": [join_names(subset) for subset in explored.given],
            "priors": [*explored.priors],
            "views": views,
        }
    path = write_whole(folder / "about.json", json.dumps(about) + "\n")
    return [path, *written]


class _Cells(NamedTuple):
    """Columns of a view by name -> f32[N, k, *shape], as they lie and as pictures."""

    values: dict[str, np.ndarray]
    shown: dict[str, np.ndarray]


def _cells(dataset: Dataset, explored: Explored) -> dict[str, _Cells]:
    """Of each view; so many tuples that all sheets are bounded."""
    num, size = len(explored.rows), 0
    found: dict[str, _Cells] = {}
    for m, truth in sorted(explored.truth.items()):
        values = {"truth": np.asarray(truth)[:, None]}
        drawn = {join_names(s): of[m] for s, of in explored.given.items() if m in of}
        drawn |= {f"prior {name}": of[m] for name, of in explored.priors.items()}
        for name, x in drawn.items():
            x = np.asarray(x)[: num * explored.num_draws]
            values[name] = x.reshape(num, explored.num_draws, *x.shape[1:])
        shown = {}
        for name, x in values.items():
            flat = as_pictures(dataset, {m: x.reshape(-1, *x.shape[2:])})[m]
            shown[name] = np.reshape(flat, (*x.shape[:2], *np.shape(flat)[1:]))
        found[m] = _Cells(values, shown)
        height, width = shown["truth"].shape[2:4]
        columns = sum(x.shape[1] for x in shown.values())
        size += min(height, MAX_SIDE) * min(width, MAX_SIDE) * columns
    kept = max(1, min(num, MAX_PIXELS // size))
    return {
        m: _Cells(*({name: x[:kept] for name, x in of.items()} for of in cells))
        for m, cells in found.items()
    }


def _write_view(
    dataset: Dataset, m: str, cells: _Cells, folder: Path
) -> tuple[dict[str, Any], list[Path]]:
    """The sheet of one view, and sounds; what `about.json` says of it."""
    stem = folder / file_name(m)
    images = np.concatenate([*cells.shown.values()], axis=1)
    sheet = pictures.sheet(m, images, MAX_SIDE)
    written = [pictures.save_png(stem.with_name(f"{stem.name}.png"), sheet)]
    num, columns = images.shape[:2]
    places, first = {}, 0
    for name, x in cells.shown.items():
        places[name] = [*range(first, first + x.shape[1])]
        first += x.shape[1]
    about = {
        "file": written[0].name,
        "cell": [sheet.shape[0] // num, sheet.shape[1] // columns],
        "columns": places,
        "rows": [{} for _ in range(num)],
    }
    write = dataset.presentations.get(m, Presentation()).write
    for row in range(num) if write else ():
        for name, x in cells.values.items():
            for place, value in zip(places[name][:NUM_HEARD], x[row], strict=False):
                files = write(stem.with_name(f"{stem.name}_{row}_{place}"), value[None])
                told, kept = _read(files)
                about["rows"][row][str(place)] = told
                written += kept
    return about, written


def _read(files: list[Path]) -> tuple[dict[str, str], list[Path]]:
    """{"text": what a file says} or {"sound": its name}; and the files that stay."""
    told, kept = {}, []
    for path in files:
        if path.suffix == ".txt":
            told["text"] = path.read_text(encoding="utf-8").strip()
            path.unlink()
        else:
            told["sound"] = path.name
            kept.append(path)
    return told, kept


def _mapped(latents: Latents) -> dict[str, Any] | None:
    """The two directions in which z of the tuples varies most (PCA).

    With the centred z as rows of Z = U S Vᵀ points are z Vᵀ's first two columns, and
    S²_i / Σ S² is the share of the variance along each. What is not finite has no
    place; None where nothing has.
    """
    z = np.asarray(latents.joint, np.float64)[:MAX_POINTS]
    has_place = np.isfinite(z).all(axis=1)
    labels = None if latents.labels is None else latents.labels[: len(z)][has_place]
    z = z[has_place]
    if not len(z):
        return None
    mean = z.mean(axis=0)
    _, scales, directions = np.linalg.svd(z - mean, full_matrices=False)
    total = float(np.square(scales).sum())

    def points(values: np.ndarray) -> list[list[float]]:
        found = (np.asarray(values, np.float64) - mean) @ directions[:2].T
        found = found[np.isfinite(found).all(axis=1)]
        found = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
        return [[round(float(x), 3) for x in point] for point in found]

    return {
        "points": points(z),
        "labels": _listed(labels, len(z)),
        "shares": [float(s**2) / total if total else 0.0 for s in scales[:2]],
        "dimensions": z.shape[1],
        "priors": {name: points(of) for name, of in latents.priors.items()},
    }


def _listed(labels: Sequence[int] | np.ndarray | None, num: int) -> list[int] | None:
    return None if labels is None else [int(label) for label in labels[:num]]


def _declared() -> list[dict[str, Any]]:
    """The tables of every measure: which numbers of a record they show."""
    return [
        {
            "measure": name,
            "said": table.said,
            "rows": table.rows,
            "heading": table.heading,
            "columns": [
                {"heading": c.heading, "path": c.path, "digits": c.digits} | _best(c)
                for c in table.columns
            ],
        }
        for name in measures.MEASURES
        for table in measures.load(name).TABLES
    ]


def _best(column: Column) -> dict[str, str]:
    return {"best": column.best} if column.best else {}
