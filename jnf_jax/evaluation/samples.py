"""Writes generated data to files: a grid of pictures, sounds and texts beside it."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jnf_jax.data.dataset import Dataset, Presentation
from jnf_jax.evaluation import pictures
from jnf_jax.runtime import processes

NUM_PICTURED = 16
"""Draws from a prior in a picture of them, half of it."""

NUM_COMPARED, NUM_DRAWS = 8, 3
"""Tuples in a picture of what is generated given others, and draws of each."""

NUM_WRITTEN = 16
"""Draws that become sounds or texts."""

NUM_TABULATED = 3
"""Tuples in the table of what is generated of each modality from each subset."""

MAX_GROUPS = 10
"""Subsets in that table."""


class Drawn(NamedTuple):
    """What was generated, and of the same tuples what was given and what is true.

    All are {m: f32[N, *shape]}, N the draws; those of a tuple, ``num_draws`` of them,
    follow one another. Draws from a prior have neither ``given`` nor ``truth``.
    """

    given: Mapping[str, pictures.Images]
    generated: Mapping[str, pictures.Images]
    truth: Mapping[str, pictures.Images] = MappingProxyType({})
    num_draws: int = 1

    def first(self, num: int) -> tuple[dict[str, pictures.Images], ...]:
        """``given``, ``generated`` and ``truth`` of the first ``num`` draws."""
        every = (self.given, self.generated, self.truth)
        return tuple({m: x[:num] for m, x in of.items()} for of in every)


def save(dataset: Dataset, drawn: Drawn, path: Path) -> list[Path]:
    """Writes a grid of ``drawn`` as PNG, and what the data set writes beside it.

    Returns the files; the first process alone writes them.
    """
    if not processes.is_first():
        return []
    shown = as_pictures(dataset, drawn.generated)
    if drawn.given:
        each = slice(None, None, drawn.num_draws)
        given, truth = (
            as_pictures(dataset, {m: x[each] for m, x in of.items()})
            for of in (drawn.given, {m: drawn.truth[m] for m in shown})
        )
        shown = {
            m: np.reshape(x, (-1, drawn.num_draws, *np.shape(x)[1:]))
            for m, x in shown.items()
        }
        written = [
            pictures.save_png(path, pictures.conditional_grid(given, truth, shown))
        ]
    else:
        written = [pictures.save_png(path, pictures.grid(shown))]
    for m, x in sorted(drawn.generated.items()):
        write = dataset.presentations.get(m, Presentation()).write
        if write is not None:
            stem = path.with_name(f"{path.stem}_{m}")
            written += write(stem, np.asarray(x[:NUM_WRITTEN]))
    return written


def save_table(
    dataset: Dataset,
    real: dict[str, pictures.Images],
    generated: dict[tuple[str, ...], dict[str, pictures.Images]],
    path: Path,
) -> list[Path]:
    """Few tuples, f32[N, *shape], and K draws of each, f32[N * K, *shape], by subset.

    Returns the file; the first process alone writes it.
    """
    if not processes.is_first():
        return []
    real, shown = as_pictures(dataset, real), {}
    for subset, drawn in generated.items():
        shown[subset] = {
            m: np.reshape(x, (len(real[m]), -1, *np.shape(x)[1:]))
            for m, x in as_pictures(dataset, drawn).items()
        }
    return [pictures.save_png(path, pictures.any_to_any_grid(real, shown))]


def as_pictures(
    dataset: Dataset, views: dict[str, pictures.Images]
) -> dict[str, pictures.Images]:
    """Every view as people look at it: f32[N, height, width, 1 or 3]."""
    shown = {}
    for m, x in dataset.filled(views).items():
        picture = dataset.presentations.get(m, Presentation()).picture
        shown[m] = x if picture is None else picture(np.asarray(x))
    return shown
