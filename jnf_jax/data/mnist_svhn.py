"""`mnist_svhn`: MNIST and SVHN digits paired by class.

Source of the pairing rule: Shi et al. (2019). For each digit n = min(#MNIST, #SVHN,
10,000) images of each set; `multiplier` times, two independent permutations, paired by
position. Ours differ in three ways: the permutations are seeded, validation is carved
from the images before they are paired (so no image is on both sides), and checksums of
all are recorded.
"""

import dataclasses
import functools
from collections.abc import Callable

from jnf_jax.data import dataset, pairing, rendering, tfds_cache
from jnf_jax.options import option

PER_CLASS = 10_000
OFFICIAL_SVHN_TRAIN = 73_257
MODALITIES = ("mnist", "svhn")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `mnist_svhn`."""

    seed: int = option(42, "Seed of split and pairing.", between=(0, 2**31 - 1))
    multiplier: int = option(
        5,
        'Passes over the training images ("dm"; 5 is the authors\'); one over others.',
        between=(1, 1000),
    )
    validation_fraction: float = option(
        0.1, "Share of each set's training images.", between=(0.001, 0.5)
    )
    data_dir: str = option("", "TFDS folder; '' for $TFDS_DATA_DIR or its default.")
    svhn_data_dir: str = option("", "TFDS data folder of SVHN; '' for `data_dir`.")
    cache_dir: str = option("", "Folder for decoded images; '' for ~/.cache/jnf_jax.")


def load(
    settings: Settings, load_images: Callable = tfds_cache.load_images
) -> dataset.Dataset:
    """Reads both sets (decoding them the first time), splits by image, and pairs.

    ``load_images`` is where they come from.

    The name is `mnist_svhn_mini` where SVHN has fewer images than the official set.

    Raises:
      FileNotFoundError: a set is not prepared; gives the command that prepares it.
    """
    folders = (settings.data_dir, settings.svhn_data_dir or settings.data_dir)
    # One list for each split, of (images, labels) in the order of MODALITIES.
    parts: dict[str, list] = {split: [] for split in dataset.SPLITS}
    for name, folder in zip(("mnist", "svhn_cropped"), folders, strict=True):
        train, test = (
            load_images(name, split, data_dir=folder, cache_dir=settings.cache_dir)
            for split in ("train", "test")
        )
        kept, carved = pairing.hold_out(
            train["labels"], settings.validation_fraction, seed=settings.seed
        )
        for split, source, rows in (
            ("train", train, kept),
            ("validation", train, carved),
            ("test", test, slice(None)),
        ):
            parts[split].append((source["images"][rows], source["labels"][rows]))
    splits = {}
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
    mini = len(train["images"]) < OFFICIAL_SVHN_TRAIN  # of SVHN, the last
    return dataset.Dataset(
        name="mnist_svhn_mini" if mini else "mnist_svhn",
        shapes={"mnist": (28, 28, 1), "svhn": (32, 32, 3)},
        splits=splits,
        fetch=functools.partial(
            rendering.fetch_columns, columns={"mnist": 0, "svhn": 1}
        ),
        num_classes=10,
        record=dataset.build_record(settings, splits),
    )


blank = functools.partial(load, load_images=tfds_cache.blank_images)
"""Shapes and sizes of the data set, without its files: see ``registry.BLANK``."""
