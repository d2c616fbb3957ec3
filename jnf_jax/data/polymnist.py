"""`polymnist`: MNIST digits as colour modalities over backgrounds (PolyMNIST).

Source: Sutter et al. (2021); with ``scale`` below 1 Translated PolyMNIST (Daunhawer et
al., 2022). Digits come from TFDS; backgrounds are our procedural textures
(`polymnist_procedural`), pictures of the user's (`polymnist_rebuilt`), or the published
pictures are read as they are (`polymnist_official`).

The published archive (Zenodo record 4899160, or the tensors that MultiVae reads)
unpacks to ``MMNIST/{train,test}`` with either ``m0.pt … labels.pt`` or folders ``m0 …``
of files ``<index>.<digit>.png``.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax.data import dataset, pairing, rendering, textures, tfds_cache, torch_file
from jnf_jax.options import option
from jnf_jax.runtime.files import user_path

SIDE = 28
INK = 128
"""A pixel of MNIST above this is ink."""

FORMS = "<official_dir>/{train,test}/m0.pt … labels.pt, or …/m0/<index>.<digit>.png"

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `polymnist`."""

    seed: int = option(
        42, "Seed of split, pairing, crops and textures.", between=(0, 2**31 - 1)
    )
    num_modalities: int = option(
        5, "Number of colour modalities, named m0, m1, …", between=(2, 100)
    )
    validation_fraction: float = option(
        0.1, "Share of the training images that validation takes.", between=(0.001, 0.5)
    )
    variant: str = option(
        "fixed",
        '"fixed", the same tuples every epoch; or "fresh", for training only: an '
        "epoch's tuples do not come back for `fresh_epochs` epochs. Fresh ones have no "
        'place in comparison tables, and "_fresh" in the name says so.',
        one_of=("fixed", "fresh"),
    )
    scale: float = option(
        1.0,
        "Size of the digits, each of which is then somewhere in its picture, in every "
        "modality somewhere else; 0.75 is Translated PolyMNIST's. 1: as in MNIST.",
        between=(2 / SIDE, 1),
    )
    fresh_epochs: int = option(
        100, "Epochs of fresh tuples that a split's size counts.", between=(1, 1000)
    )
    backgrounds_dir: str = option(
        "", "Folder of pictures; the first by name are used. '': procedural textures."
    )
    official_dir: str = option("", "Folder of the published pictures; see above.")
    data_dir: str = option("", "TFDS folder; '' for $TFDS_DATA_DIR or its default.")
    cache_dir: str = option("", "Folder for decoded images; '' for ~/.cache/jnf_jax.")

    def cross_faults(self, field: str) -> list[str]:
        """The published pictures cannot be drawn otherwise than they were."""
        drawn = {
            "backgrounds_dir": ("", "whose backgrounds are drawn already"),
            "variant": ("fixed", "whose tuples are published"),
            "scale": (1, "whose digits are drawn already"),
        }
        return [
            f"`{field}.{name}` is {getattr(self, name)!r}, expected {value!r} with "
            f"`official_dir`, {why}"
            for name, (value, why) in drawn.items()
            if self.official_dir and getattr(self, name) != value
        ]


def load_backgrounds(folder: str, num: int) -> list[np.ndarray]:
    """The first `num` pictures of a folder in the order of their names, as RGB.

    Each is u8[rows, columns, 3]; subfolders and other files are passed over.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: fewer pictures than `num`, or one smaller than 28 × 28.
    """
    root = user_path(folder, "data.backgrounds_dir")
    if not root.is_dir():
        raise FileNotFoundError(f"`data.backgrounds_dir`: {root} is no folder")
    paths = sorted(path for path in root.iterdir() if path.is_file())
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if len(paths) < num:
        raise ValueError(
            f"`data.backgrounds_dir`: got {len(paths)} pictures in {root}, expected at "
            f"least {num}, one for each modality ({', '.join(SUFFIXES)})"
        )
    pictures = [_read_rgb(path) for path in paths[:num]]
    for path, (height, width, _) in zip(paths, map(np.shape, pictures), strict=False):
        if min(height, width) < SIDE:
            raise ValueError(
                f"`data.backgrounds_dir`: {path} has {height} × {width} pixels, "
                f"expected at least {SIDE} × {SIDE}"
            )
    return pictures


def _read_rgb(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def fetch(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    *,
    modalities: tuple[str, ...],
) -> dict[str, Float[Array, "batch 28 28 3"]]:
    """Gathers and renders tuples: {modality: f32[B, 28, 28, 3]} in [0, 1].

    With ``pairing`` i32[N, M] in the ``arrays`` of a `Split`, tuples are the stored
    ones; else they are fresh, from ``members`` i32[n] (images sorted by class),
    ``first`` and ``count`` i32[10], and ``classes`` i32[n]. `rendering.render_tuples`
    describes the rest; ``modalities`` are in the order of the pairing's columns.
    """
    if "pairing" in arrays:
        return rendering.fetch_paired(arrays, indices, modalities=modalities, size=SIDE)
    arrays, indices = jax.tree.map(jnp.asarray, (arrays, indices))
    # Unlike the stored pairing these are independent draws: within an epoch an image
    # may come twice in a modality, or not at all.
    label = arrays["classes"][indices % len(arrays["classes"])]
    first, count = arrays["first"][label], arrays["count"][label]
    key = jax.random.wrap_key_data(arrays["pairing_key"], impl="threefry2x32")

    def draw(index, count):
        own_key = jax.random.fold_in(key, index)
        return jax.random.randint(own_key, (len(modalities),), 0, count)

    rows = arrays["members"][first[:, None] + jax.vmap(draw)(indices, count)]
    return rendering.render_tuples(arrays, rows, indices, modalities, SIDE)


def load(
    settings: Settings, load_images: Callable = tfds_cache.load_images
) -> dataset.Dataset:
    """Builds the data set; MNIST is decoded the first time.

    ``load_images`` is where MNIST comes from.

    Raises:
      FileNotFoundError: MNIST is not prepared (the message has the command), or a
        folder is missing.
      ValueError: bad backgrounds or published pictures.
    """
    modalities = tuple(f"m{m}" for m in range(settings.num_modalities))
    if settings.official_dir:
        built = _load_official(settings, modalities)
    else:
        built = _load_rendered(settings, modalities, load_images)
    name, splits, checksums, fetch_tuples = built
    return dataset.Dataset(
        name=name,
        shapes=dict.fromkeys(modalities, (SIDE, SIDE, 3)),
        splits=splits,
        fetch=fetch_tuples,
        num_classes=10,
        record=dataset.build_record(settings, splits, checksums),
    )


blank = functools.partial(load, load_images=tfds_cache.blank_images)
"""Shapes and sizes of the data set, without MNIST: see ``registry.BLANK``."""


def _load_rendered(
    settings: Settings, modalities: tuple[str, ...], load_images: Callable
) -> tuple:
    folder, seed = settings.backgrounds_dir, settings.seed
    if folder:
        pictures = load_backgrounds(folder, len(modalities))
    else:
        pictures = [
            textures.texture(m, seed=seed, size=512, wavelength=1.875 * SIDE)
            for m in range(len(modalities))
        ]
    backgrounds = dict(zip(modalities, pictures, strict=True))
    train, test = (
        load_images(
            "mnist", split, data_dir=settings.data_dir, cache_dir=settings.cache_dir
        )
        for split in ("train", "test")
    )
    splits = {}
    checksums = {"backgrounds": jax.tree.map(dataset.checksum, backgrounds)}
    for split, source in _splits(settings, train, test).items():
        images, labels = source["images"], source["labels"]
        fresh = settings.variant == "fresh" and split == "train"
        tuples = _fresh_tuples if fresh else _fixed_tuples
        arrays, of_class = tuples(settings, labels, split)
        checksums[split] = jax.tree.map(dataset.checksum, {"images": images, **arrays})
        greys, side = images[..., 0], int(SIDE * settings.scale)
        if side < SIDE:
            greys = np.stack([tfds_cache.resize(grey, side) for grey in greys])
        arrays["ink"] = greys > INK
        arrays["backgrounds"] = backgrounds
        arrays["crop_key"] = rendering.split_key(seed, split, "crops")
        if settings.scale < 1:
            arrays["place_key"] = rendering.split_key(seed, split, "places")
            checksums[split]["ink"] = dataset.checksum(arrays["ink"])
        splits[split] = dataset.Split(
            arrays, len(of_class), of_class, settings.fresh_epochs if fresh else 1
        )
    name = "polymnist_rebuilt" if folder else "polymnist_procedural"
    name = f"translated_{name}" if settings.scale < 1 else name
    name += "_fresh" if settings.variant == "fresh" else ""
    return name, splits, checksums, functools.partial(fetch, modalities=modalities)


def _splits(
    settings: Settings, train: dict[str, np.ndarray], test: dict[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """Rows with "labels" by split: validation is carved from the training ones."""
    kept, carved = pairing.hold_out(
        train["labels"], settings.validation_fraction, seed=settings.seed
    )
    return {
        "train": {name: array[kept] for name, array in train.items()},
        "validation": {name: array[carved] for name, array in train.items()},
        "test": test,
    }


def _fixed_tuples(settings: Settings, labels: np.ndarray, split: str) -> tuple:
    rows, of_class = pairing.pair_by_class(
        [labels] * settings.num_modalities, repeats=1, seed=settings.seed, split=split
    )
    return {"pairing": rows}, of_class


def _fresh_tuples(settings: Settings, labels: np.ndarray, split: str) -> tuple:
    count = np.bincount(labels, minlength=10).astype(np.int32)
    arrays = {
        "classes": labels,
        "members": np.argsort(labels, kind="stable").astype(np.int32),
        "first": (np.cumsum(count) - count).astype(np.int32),
        "count": count,
        "pairing_key": rendering.split_key(settings.seed, split, "pairing"),
    }
    return arrays, np.tile(labels, settings.fresh_epochs)


def _load_official(settings: Settings, modalities: tuple[str, ...]) -> tuple:
    """Published pictures do not say which MNIST image they show, so validation can
    only be carved by tuple here, not by image."""
    train, test = (_load_published(settings, s, modalities) for s in ("train", "test"))
    splits, checksums = {}, {}
    for split, arrays in _splits(settings, train, test).items():
        checksums[split] = jax.tree.map(dataset.checksum, arrays)
        labels = arrays["labels"]
        pictures = {name: arrays[name] for name in modalities}
        splits[split] = dataset.Split(pictures, len(labels), labels)
    return "polymnist_official", splits, checksums, rendering.fetch_stored


def _load_published(
    settings: Settings, split: str, modalities: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """{modality: u8[n, 28, 28, 3], "labels": i32[n]}, decoded once to a checked cache.

    The folder may be given with or without its last part ``MMNIST``.
    """
    root = user_path(settings.official_dir, "data.official_dir")
    folders = [f for f in (root / split, root / "MMNIST" / split) if f.is_dir()]
    if not folders:
        raise FileNotFoundError(
            f"`data.official_dir`: no {root / split}; expected {FORMS}"
        )
    folder = folders[0]
    tensors = (folder / f"{modalities[0]}.pt").exists()
    names = [f"{m}.pt" for m in (*modalities, "labels")] if tensors else modalities
    if missing := [name for name in names if not (folder / name).exists()]:
        raise FileNotFoundError(
            f"`data.official_dir`: {folder} lacks {missing}; expected {FORMS}"
        )
    about = {"files": tfds_cache.stamps(folder / name for name in names)}
    read = _read_tensors if tensors else _read_pngs
    return tfds_cache.cached(
        "polymnist-official",
        about,
        settings.cache_dir,
        lambda: read(folder, modalities),
    )


def _read_tensors(folder: Path, modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
    path = folder / "labels.pt"
    labels = torch_file.load_tensor(path)
    labels = dataset.check_labels(
        labels, size=labels.size, num_classes=10, where=str(path)
    )
    arrays = {"labels": labels}
    for name in modalities:
        path = folder / f"{name}.pt"
        pixels = torch_file.load_tensor(path)
        _check_shape(path, pixels, (len(labels), 3, SIDE, SIDE))
        levels = rendering.to_bytes(pixels, str(path)).transpose(0, 2, 3, 1)
        arrays[name] = np.ascontiguousarray(levels)
    return arrays


def _read_pngs(folder: Path, modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
    first, arrays = None, {}
    for modality in modalities:
        files = {}
        for path in (folder / modality).glob("*.png"):
            index, _, digit = path.stem.partition(".")
            if not (index.isdigit() and digit in set("0123456789")):
                raise ValueError(f"{path}: expected a name <index>.<digit>.png")
            files[int(index), int(digit)] = path
        rows = sorted(files)
        first = rows if first is None else first
        if not rows or rows != first:
            raise ValueError(
                f"{folder / modality}: its {len(rows)} indices and digits do not match "
                f"those of {modalities[0]}"
            )
        arrays[modality] = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
        for place, row in enumerate(rows):
            pixels = _read_rgb(files[row])
            _check_shape(files[row], pixels, (SIDE, SIDE, 3))
            arrays[modality][place] = pixels
    return {**arrays, "labels": np.array([digit for _, digit in first], np.int32)}


def _check_shape(path: Path, x: np.ndarray, expected: tuple[int, ...]) -> None:
    if x.shape != expected:
        raise ValueError(f"{path}: got shape {x.shape}, expected {expected}")
