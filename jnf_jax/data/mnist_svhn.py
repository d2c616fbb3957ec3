"""`mnist_svhn`: MNIST and SVHN digits paired by class.

Source of the pairing rule: Shi et al. (2019). For each digit n = min(#MNIST, #SVHN,
10,000) images of each set; `multiplier` times, two independent permutations, paired by
position. Ours differ in three ways: the permutations are seeded, validation is carved
from the images before they are paired (so no image is on both sides), and checksums of
all are recorded.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax.data import dataset, pairing, rendering, tfds_cache
from jnf_jax.options import option, require

PER_CLASS = 10_000
OFFICIAL_SVHN_TRAIN = 73_257
MODALITIES = ("mnist", "svhn")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `mnist_svhn`."""

    seed: int = option(42, "Seed of split and pairing.", between=(0, 2**31 - 1))
    multiplier: int = option(
        5,
        'Passes over the training images ("dm"; 5 is the authors\'). Validation and '
        "test tuples are one pass (protocol v1).",
        between=(1, 1000),
    )
    validation_fraction: float = option(
        0.1,
        "Share of the training images of each set that validation takes.",
        between=(0.001, 0.5),
    )
    data_dir: str = option(
        "", "TFDS data folder; '' for $TFDS_DATA_DIR or TFDS's default."
    )
    svhn_data_dir: str = option("", "TFDS data folder of SVHN; '' for `data_dir`.")
    cache_dir: str = option("", "Folder for decoded images; '' for ~/.cache/jnf_jax.")


def fetch(
    arrays: Mapping[str, Array | np.ndarray],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
) -> dict[str, Float[Array, "batch _ _ _"]]:
    """Gathers pairs.

    Args:
      arrays: ``mnist`` u8[n, 28, 28, 1]; ``svhn`` u8[k, 32, 32, 3]; ``pairing``
        i32[N, 2], a column for each of `MODALITIES`.
      indices: i32[B].

    Returns:
      {"mnist": f32[B, 28, 28, 1], "svhn": f32[B, 32, 32, 3]} in [0, 1].
    """
    rows = jnp.asarray(arrays["pairing"])[jnp.asarray(indices)]
    return {
        name: rendering.to_unit(jnp.asarray(arrays[name])[rows[:, column]])
        for column, name in enumerate(MODALITIES)
    }


def load(settings: Settings) -> dataset.Dataset:
    """Reads both sets (decoding them the first time), splits by image, and pairs.

    The name is `mnist_svhn_mini` where SVHN has fewer images than the official set.

    Raises:
      FileNotFoundError: a set is not prepared; gives the command that prepares it.
    """
    require(settings, "data")
    folders = (settings.data_dir, settings.svhn_data_dir or settings.data_dir)
    sources = {
        split: [
            tfds_cache.load_images(
                name, split, data_dir=folder, cache_dir=settings.cache_dir
            )
            for name, folder in zip(("mnist", "svhn_cropped"), folders, strict=True)
        ]
        for split in ("train", "test")
    }
    # One list for each split, of (images, labels) in the order of MODALITIES.
    held_out = settings.validation_fraction
    parts: dict[str, list] = {"train": [], "validation": [], "test": sources["test"]}
    for images, labels in sources["train"]:
        cut = pairing.split_by_image(
            labels, (1.0 - held_out, held_out), seed=settings.seed
        )
        for split, chosen in zip(("train", "validation"), cut, strict=True):
            parts[split].append((images[chosen], labels[chosen]))
    splits, checksums = {}, {}
    for split, both in parts.items():
        rows, of_class = pairing.pair_by_class(
            [labels for _, labels in both],
            repeats=settings.multiplier if split == "train" else 1,
            seed=settings.seed,
            split=split,
            limit=PER_CLASS,
        )
        arrays = {name: both[m][0] for m, name in enumerate(MODALITIES)}
        arrays["pairing"] = rows
        splits[split] = dataset.Split(arrays, len(rows), of_class)
        checksums[split] = {key: dataset.checksum(a) for key, a in arrays.items()}
    mini = len(sources["train"][1][0]) < OFFICIAL_SVHN_TRAIN
    return dataset.Dataset(
        name="mnist_svhn_mini" if mini else "mnist_svhn",
        shapes={"mnist": (28, 28, 1), "svhn": (32, 32, 3)},
        splits=splits,
        fetch=fetch,
        num_classes=10,
        record=dataset.build_record(settings, splits, checksums),
    )
