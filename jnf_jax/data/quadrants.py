"""`quadrants`: a digit in one of four quadrants of a larger picture, and what is open.

Three views: the picture, its digit and its quadrant, the last two one-hot. Digit and
quadrant are independent, so that "given the quadrant, all ten digits evenly" has a
right answer, which a model that always shows one of them misses although its views
agree. Every split has as many images of each digit, and each of them once in every
quadrant: the independence is exact, in blocks of forty tuples too.

The digits are scikit-learn's, as in `digits` (16 × 16 in 32 × 32, no download), or
MNIST's (28 × 28 in 56 × 56) where TFDS has prepared them.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax.data import dataset, digits, pairing, rendering, tfds_cache
from jnf_jax.options import option

SOURCES = ("digits", "mnist")
SIDE = 16
NUM_CLASSES, NUM_QUADRANTS = 10, 4


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `quadrants`."""

    seed: int = option(42, "Seed of split and order.", between=(0, 2**31 - 1))
    source: str = option(
        "digits",
        'Where images are from: scikit-learn\'s "digits", or "mnist", which TFDS has '
        "prepared.",
        one_of=SOURCES,
    )
    validation_fraction: float = option(
        0.1, "Share of MNIST's training images; others are cut .7, .1, .2.",
        between=(0.001, 0.5),
    )  # fmt: skip
    data_dir: str = option("", "TFDS folder; '' for $TFDS_DATA_DIR or its default.")
    cache_dir: str = option("", "Folder for decoded images; '' for ~/.cache/jnf_jax.")


def fetch(
    arrays: Mapping[str, Any],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
) -> dict[str, Float[Array, "batch ..."]]:
    """{"image": f32[B, 2s, 2s, 1] in [0, 1], "label": f32[B, 1, 10], "quadrant":
    f32[B, 1, 4]}, the last two one-hot.

    ``arrays`` are ``images`` u8[n, s, s], the ``digits`` i32[n] that they show, and
    ``tuples`` i32[N, 2] of image and quadrant: 0 and 1 are the upper ones, left first.
    """
    arrays, indices = jax.tree.map(jnp.asarray, (dict(arrays), indices))
    image, quadrant = arrays["tuples"][indices].T
    digit, where = arrays["digits"][image], jax.nn.one_hot(quadrant, NUM_QUADRANTS)
    ink = rendering.to_unit(arrays["images"][image])
    placed = jnp.einsum("bij,bhw->bihjw", where.reshape(-1, 2, 2), ink)
    return {
        "image": placed.reshape(-1, *(2 * side for side in ink.shape[1:]), 1),
        "label": jax.nn.one_hot(digit, NUM_CLASSES)[:, None],
        "quadrant": where[:, None],
    }


def load(settings: Settings) -> dataset.Dataset:
    """Cuts the images, keeps as many of each digit, and places each in all quadrants.

    Raises:
      FileNotFoundError: MNIST is not prepared; gives the command that prepares it.
    """
    splits = {}
    for split, (images, labels) in _parts(settings).items():
        tuples = balanced_tuples(labels, seed=settings.seed, split=split)
        shown, images_of = np.unique(tuples[:, 0], return_inverse=True)
        tuples = np.column_stack([images_of, tuples[:, 1]]).astype(np.int32)
        arrays = {
            "images": images[shown],
            "digits": labels[shown].astype(np.int32),
            "tuples": tuples,
        }
        of_class = arrays["digits"][tuples[:, 0]]
        splits[split] = dataset.Split(arrays, len(tuples), of_class)
    side = 2 * splits["train"].arrays["images"].shape[1]
    own = "" if settings.source == "digits" else f"_{settings.source}"
    return dataset.Dataset(
        name=f"quadrants{own}",
        shapes={
            "image": (side, side, 1),
            "label": (1, NUM_CLASSES),
            "quadrant": (1, NUM_QUADRANTS),
        },
        splits=splits,
        fetch=fetch,
        num_classes=NUM_CLASSES,
        record=dataset.build_record(settings, splits),
        unlabelled=("quadrant",),
        presentations={
            name: dataset.Presentation(functools.partial(draw, columns=columns))
            for name, columns in (("label", 5), ("quadrant", 2))
        },
    )


def balanced_tuples(
    labels: Int[np.ndarray, " images"], *, seed: int, split: str
) -> Int[np.ndarray, "tuples 2"]:
    """(image, quadrant) i[N, 2], every pair of an image that is kept and a quadrant.

    Each digit keeps as many images as the rarest has. Tuples come in blocks of forty:
    each digit in each quadrant, in random order. So the first 40 k of them are
    balanced too.
    """
    rarest = int(np.bincount(labels, minlength=NUM_CLASSES).min())
    # [digit, quadrant, block]: all images of a digit in a quadrant, in its own order.
    image = np.empty((NUM_CLASSES, NUM_QUADRANTS, rarest), int)
    for digit in range(NUM_CLASSES):
        members = np.flatnonzero(labels == digit)
        kept = dataset.generator(seed, "kept", split, digit).permutation(members)
        for quadrant in range(NUM_QUADRANTS):
            rng = dataset.generator(seed, "blocks", split, digit, quadrant)
            image[digit, quadrant] = rng.permutation(kept[:rarest])
    quadrant = np.broadcast_to(np.arange(NUM_QUADRANTS)[:, None], image.shape)
    tuples = np.stack([image, quadrant], axis=-1).reshape(-1, rarest, 2)
    order = dataset.generator(seed, "order", split).permuted(
        np.tile(np.arange(len(tuples)), (rarest, 1)), axis=1
    )
    return tuples[order, np.arange(rarest)[:, None]].reshape(-1, 2)


def draw(
    chosen: Float[np.ndarray, "count 1 values"], *, columns: int
) -> Float[np.ndarray, "count height width 1"]:
    """Probabilities as a board of squares, row by row, brighter the more probable."""
    count, _, values = chosen.shape
    board = np.reshape(chosen, (count, values // columns, columns, 1))
    return np.kron(board, np.ones((1, SIDE, SIDE, 1), chosen.dtype))


def _parts(settings: Settings) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{split: (images u8[n, s, s], digits i32[n])}; no image is in two of them."""
    seed = settings.seed
    if settings.source == "digits":
        greys, labels = digits.read_greys()
        images = np.where(digits.enlarge(greys, SIDE), 255, 0).astype(np.uint8)
        parts = pairing.split_by_image(labels, digits.FRACTIONS, seed=seed)
        taken = [(images[part], labels[part]) for part in parts]
        return dict(zip(dataset.SPLITS, taken, strict=True))
    train, test = (
        tfds_cache.load_images(
            "mnist", split, data_dir=settings.data_dir, cache_dir=settings.cache_dir
        )
        for split in ("train", "test")
    )
    kept, carved = pairing.hold_out(
        train["labels"], settings.validation_fraction, seed=seed
    )
    rows = {"train": kept, "validation": carved, "test": slice(None)}
    return {
        split: (of["images"][rows[split], ..., 0], of["labels"][rows[split]])
        for split, of in zip(dataset.SPLITS, (train, train, test), strict=True)
    }
