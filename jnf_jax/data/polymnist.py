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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax.data import (
    dataset,
    pairing,
    rendering,
    textures,
    tfds_cache,
    torch_file,
)
from jnf_jax.options import option, require

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
        100,
        'Epochs of fresh tuples that `splits["train"].size` counts.',
        between=(1, 1000),
    )
    backgrounds_dir: str = option(
        "",
        "Folder of pictures of your own; sorted by name, the first `num_modalities` "
        "are used. '' for procedural textures.",
    )
    official_dir: str = option("", "Folder of the published pictures; see above.")
    data_dir: str = option(
        "", "TFDS data folder; '' for $TFDS_DATA_DIR or TFDS's default."
    )
    cache_dir: str = option("", "Folder for decoded images; '' for ~/.cache/jnf_jax.")

    def cross_faults(self, field: str) -> list[str]:
        """The published pictures cannot be drawn otherwise than they were."""
        found = []
        if self.official_dir and self.backgrounds_dir:
            found.append(
                f"`{field}.official_dir` is {self.official_dir!r}, expected '' beside "
                f"`backgrounds_dir` {self.backgrounds_dir!r}"
            )
        if self.official_dir and self.variant == "fresh":
            found.append(
                f"`{field}.variant` is 'fresh', expected 'fixed' with `official_dir`, "
                "whose tuples are published"
            )
        if self.official_dir and self.scale != 1:
            found.append(
                f"`{field}.scale` is {self.scale}, expected 1 with `official_dir`, "
                "whose digits are drawn already"
            )
        return found


def load_backgrounds(folder: str, num: int) -> list[np.ndarray]:
    """The first `num` pictures of a folder in the order of their names, as RGB.

    Args:
      folder: holds the pictures; its subfolders and other files are passed over.
      num: how many are needed.

    Returns:
      `num` arrays u8[rows, columns, 3], each at least 28 × 28.

    Raises:
      FileNotFoundError: no such folder.
      ValueError: fewer pictures than `num`, or one smaller than 28 × 28.
    """
    from PIL import Image

    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"data.backgrounds_dir: {root} is no folder")
    paths = [
        path
        for path in sorted(root.iterdir())
        if path.is_file() and path.suffix.lower() in SUFFIXES
    ]
    if len(paths) < num:
        raise ValueError(
            f"data.backgrounds_dir: got {len(paths)} pictures in {root}, expected at "
            f"least {num}, one for each modality ({', '.join(SUFFIXES)})"
        )
    pictures = []
    for path in paths[:num]:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        if min(pixels.shape[:2]) < SIDE:
            raise ValueError(
                f"data.backgrounds_dir: {path} has {pixels.shape[0]} × "
                f"{pixels.shape[1]} pixels, expected at least {SIDE} × {SIDE}"
            )
        pictures.append(pixels)
    return pictures


def fetch(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
    *,
    modalities: tuple[str, ...],
) -> dict[str, Float[Array, "batch 28 28 3"]]:
    """Gathers and renders tuples.

    Args:
      arrays: of a `Split`. With ``pairing`` i32[N, M] tuples are the stored ones; else
        they are fresh, from ``members`` i32[n] (images sorted by class), ``first`` and
        ``count`` i32[10], and ``classes`` i32[n]. See `rendering.render_tuples` for
        the rest.
      indices: i32[B].
      modalities: names, in the order of the pairing's columns.

    Returns:
      {modality: f32[B, 28, 28, 3]} in [0, 1].
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


def load(settings: Settings) -> dataset.Dataset:
    """Builds the data set; MNIST is decoded the first time.

    Raises:
      FileNotFoundError: MNIST is not prepared (the message has the command), or a
        folder is missing.
      ValueError: bad settings, backgrounds or published pictures.
    """
    require(settings, "data")
    modalities = tuple(f"m{m}" for m in range(settings.num_modalities))
    build = _load_official if settings.official_dir else _load_rendered
    name, splits, checksums, fetch_tuples = build(settings, modalities)
    return dataset.Dataset(
        name=name,
        shapes=dict.fromkeys(modalities, (SIDE, SIDE, 3)),
        splits=splits,
        fetch=fetch_tuples,
        num_classes=10,
        record=dataset.build_record(settings, splits, checksums),
    )


def _load_rendered(settings: Settings, modalities: tuple[str, ...]) -> tuple:
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
        tfds_cache.load_images(
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
        checksums[split] = {
            "images": dataset.checksum(images),
            **{key: dataset.checksum(array) for key, array in arrays.items()},
        }
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
    train, test = (
        load_published(settings.official_dir, split, modalities, settings.cache_dir)
        for split in ("train", "test")
    )
    splits, checksums = {}, {}
    for split, arrays in _splits(settings, train, test).items():
        checksums[split] = jax.tree.map(dataset.checksum, arrays)
        labels = arrays["labels"]
        pictures = {name: arrays[name] for name in modalities}
        splits[split] = dataset.Split(pictures, len(labels), labels)
    return "polymnist_official", splits, checksums, rendering.fetch_stored


def load_published(
    official_dir: str, split: str, modalities: tuple[str, ...], cache_dir: str
) -> dict[str, np.ndarray]:
    """One published split, decoded once to a checked cache.

    Args:
      official_dir: the unpacked folder, with or without the last part ``MMNIST``.
      split: "train" or "test".
      modalities: names "m0", "m1", …
      cache_dir: for decoded images; '' for the default.

    Returns:
      {modality: u8[n, 28, 28, 3], "labels": i32[n]}.

    Raises:
      FileNotFoundError: neither form is there.
      ValueError: NaN, a wrong shape or range, or tuples that do not match.
    """
    root = Path(official_dir).expanduser()
    folder = next(
        (f for f in (root / split, root / "MMNIST" / split) if f.is_dir()), None
    )
    if folder is None:
        raise FileNotFoundError(
            f"data.official_dir: no {root / split}; expected {FORMS}"
        )
    tensors = (folder / f"{modalities[0]}.pt").exists()
    names = [f"{m}.pt" for m in (*modalities, "labels")] if tensors else modalities
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"data.official_dir: {folder} lacks {missing}; expected {FORMS}"
        )
    about = {"files": tfds_cache.stamps(folder / name for name in names)}
    entry = tfds_cache.cache_entry("polymnist-official", about, cache_dir)
    read = _read_tensors if tensors else _read_pngs
    return tfds_cache.load_or_build(entry, lambda: read(folder, modalities))


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
        shape = (len(labels), 3, SIDE, SIDE)
        if pixels.shape != shape:
            raise ValueError(f"{path}: got shape {pixels.shape}, expected {shape}")
        arrays[name] = rendering.to_bytes(pixels, str(path)).transpose(0, 2, 3, 1)
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _read_pngs(folder: Path, modalities: tuple[str, ...]) -> dict[str, np.ndarray]:
    from PIL import Image

    first, arrays = None, {}
    for modality in modalities:
        files = {}
        for path in (folder / modality).glob("*.png"):
            index, _, digit = path.stem.partition(".")
            if not (index.isdigit() and digit in set("0123456789")):
                raise ValueError(f"{path}: expected a name <index>.<digit>.png")
            files[int(index), int(digit)] = path
        rows = sorted(files)
        if not rows or (first is not None and rows != first):
            raise ValueError(
                f"{folder / modality}: its {len(rows)} indices and digits do not match "
                f"those of {modalities[0]}"
            )
        first = rows
        pictures = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
        for place, row in enumerate(rows):
            with Image.open(files[row]) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            if pixels.shape != (SIDE, SIDE, 3):
                raise ValueError(
                    f"{files[row]}: got shape {pixels.shape}, expected (28, 28, 3)"
                )
            pictures[place] = pixels
        arrays[modality] = pictures
    return {**arrays, "labels": np.array([digit for _, digit in first], np.int32)}
