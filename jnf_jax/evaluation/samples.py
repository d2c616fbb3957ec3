"""Writes generated data to files: a grid of pictures, sounds and texts beside it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.evaluation import pictures
from jnf_jax.runtime import processes

NUM_PICTURED = 16


class Drawn(NamedTuple):
    """Views that were given, if any, and what was generated: {m: f32[N, *shape]}."""

    given: dict[str, pictures.Images]
    generated: dict[str, pictures.Images]


def save(dataset: Dataset, drawn: Drawn, path: Path) -> list[Path]:
    """A grid of ``drawn`` as PNG, and beside it what the data set writes of it.

    Returns the files; the first process alone writes them.
    """
    if not processes.is_first():
        return []
    given, generated = (
        {m: _as_pictures(dataset, m, x) for m, x in views.items()} for views in drawn
    )
    if given:
        grid = pictures.conditional_grid(given, generated)
    else:
        grid = pictures.unconditional_grid(generated)
    written = [pictures.save_png(path, grid)]
    for m, x in sorted(drawn.generated.items()):
        write = dataset.presentations.get(m, Presentation()).write
        if write is not None:
            stem = path.with_name(f"{path.stem}_{m}")
            written += write(stem, np.asarray(x[:NUM_PICTURED]))
    return written


def _as_pictures(
    dataset: Dataset, modality: str, views: pictures.Images
) -> pictures.Images:
    picture = dataset.presentations.get(modality, Presentation()).picture
    return views if picture is None else picture(np.asarray(views))
