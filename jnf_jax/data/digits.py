"""`digits`: scikit-learn's handwritten digits as colour modalities. No download.

1,797 greys of 8 × 8 (0 to 16; Alpaydin and Kaynak, UCI, 1998) are enlarged by cubic
interpolation, binarised, and drawn by the PolyMNIST recipe over one procedural texture
for each modality.
"""

import dataclasses
import functools
import importlib.util
from pathlib import Path

import numpy as np

from jnf_jax.data import dataset, pairing, rendering, textures
from jnf_jax.options import option

THRESHOLD = 7.3
"""Grey from which a pixel is ink. No enlarged grey is near it: rounding is harmless."""

FRACTIONS = (0.7, 0.1, 0.2)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `digits`."""

    seed: int = option(
        42, "Seed of split, pairing, crops and textures.", between=(0, 2**31 - 1)
    )
    num_modalities: int = option(
        3, "Number of colour modalities, named m0, m1, …", between=(2, 100)
    )
    image_size: int = option(16, "Side of the pictures, pixels.", between=(8, 64))
    repeats: int = option(
        16, "Passes over the training images, paired afresh.", between=(1, 1000)
    )
    validation_repeats: int = option(
        8, "Passes over the validation images (180 a pass).", between=(1, 1000)
    )
    test_repeats: int = option(
        4, "Passes over the test images (359 a pass).", between=(1, 1000)
    )


def cubic_weights(size: int, source: int) -> np.ndarray:
    """Catmull–Rom weights of `source` samples at `size` points: f64[size, source].

    Both grids are of pixel centres, ``(i + 1/2) · source / size − 1/2``; outside the
    picture the samples are zero (paper).
    """
    centres = (np.arange(size) + 0.5) * source / size - 0.5
    t = np.abs(centres[:, None] - np.arange(source))
    near = 1.5 * t**3 - 2.5 * t**2 + 1.0
    far = -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))


def enlarge(greys: np.ndarray, size: int) -> np.ndarray:
    """The ink of enlarged digits, f64[n, 8, 8] greys: bool[n, size, size]."""
    weights = cubic_weights(size, greys.shape[-1])
    return weights @ greys @ weights.T >= THRESHOLD


def read_greys() -> tuple[np.ndarray, np.ndarray]:
    """The greys f64[1797, 8, 8] and digits i32[1797] in scikit-learn's own order.

    They come from its file: importing it takes longer than all else here together.
    """
    folder = Path(importlib.util.find_spec("sklearn").origin).parent
    table = np.loadtxt(folder / "datasets/data/digits.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int32)


def load(settings: Settings) -> dataset.Dataset:
    """Builds the data set in memory (a fraction of a second)."""
    greys, labels = read_greys()
    seed, size = settings.seed, settings.image_size
    backgrounds = {
        f"m{m}": textures.texture(m, seed=seed, wavelength=1.875 * size)
        for m in range(settings.num_modalities)
    }
    modalities = tuple(backgrounds)
    repeats = (settings.repeats, settings.validation_repeats, settings.test_repeats)
    parts = pairing.split_by_image(labels, FRACTIONS, seed=seed)
    ink = enlarge(greys, size)
    splits, checksums = {}, {"images": dataset.checksum(ink)}
    for split, part, passes in zip(dataset.SPLITS, parts, repeats, strict=True):
        rows, of_class = pairing.pair_by_class(
            [labels[part]] * len(modalities), repeats=passes, seed=seed, split=split
        )
        arrays = {
            "ink": ink[part],
            "pairing": rows,
            "backgrounds": backgrounds,
            "crop_key": rendering.split_key(seed, split, "crops"),
        }
        splits[split] = dataset.Split(arrays, len(rows), of_class)
        checksums[f"pairing_{split}"] = dataset.checksum(part[rows])
    checksums["backgrounds"] = {
        name: dataset.checksum(picture) for name, picture in backgrounds.items()
    }
    return dataset.Dataset(
        name="digits",
        shapes=dict.fromkeys(modalities, (size, size, 3)),
        splits=splits,
        fetch=functools.partial(
            rendering.fetch_paired, modalities=modalities, size=size
        ),
        num_classes=10,
        record=dataset.build_record(settings, splits, checksums),
    )
