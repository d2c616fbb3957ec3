"""Which images make a tuple: splits by image, and class-wise pairing by permutation.

Both are computed once on the host, from a seed, and their checksums are recorded.
"""

from collections.abc import Sequence

import numpy as np

from jnf_jax.data.dataset import generator


def split_by_image(
    labels: np.ndarray, fractions: Sequence[float], *, seed: int
) -> list[np.ndarray]:
    """Cuts the images of every class into disjoint parts of the given fractions.

    ``labels`` are the class of each image, fractions are at most 1 in all. A class of k
    images gives part j the ones of its permutation, which ``seed`` decides, from
    round(k·Σ_{i<j} f_i) to round(k·Σ_{i≤j} f_i). Parts are sorted image indices, i32.
    """
    edges = np.cumsum([0.0, *fractions])
    parts: list[list[np.ndarray]] = [[] for _ in fractions]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = generator(seed, "split", int(label)).permutation(members)
        cuts = np.round(edges * len(members)).astype(int)
        for part, start, stop in zip(parts, cuts[:-1], cuts[1:], strict=True):
            part.append(members[start:stop])
    return [np.sort(np.concatenate(part)).astype(np.int32) for part in parts]


def hold_out(
    labels: np.ndarray, fraction: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The images to train on, and the share of each class that validation takes."""
    kept, held_out = split_by_image(labels, (1.0 - fraction, fraction), seed=seed)
    return kept, held_out


def pair_by_class(
    labels: Sequence[np.ndarray],
    *,
    repeats: int,
    seed: int,
    split: str,
    limit: int = 0,
    reuse: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Tuples of images of one class, each modality permuted independently.

    For each class, n = min over modalities of the number of its images (and `limit`);
    `repeats` times, an independent permutation of the class's images in every modality,
    cut to n, matched by position. The tuples of one repeat are then shuffled, so that
    any prefix of them holds all classes.

    Args:
      labels: for each modality the class of its images, i32[n_m] (the sets may differ).
      repeats: number of passes, each with fresh permutations.
      seed: of all permutations.
      split: "train", "validation" or "test": each has its own permutations.
      limit: most images of a class that one pass uses; 0 for no limit.
      reuse: n is the largest number instead: a pass uses every image, and those of
        smaller sets as often as each other, give or take one.

    Returns:
      pairing i32[N, M], where row i names the image of each modality; labels i32[N].

    Raises:
      ValueError: `reuse` of a class that a modality does not have.

    >>> digits = np.array([0, 0, 1, 1, 1])
    >>> rows, of_class = pair_by_class([digits] * 2, repeats=2, seed=0, split="train")
    >>> rows.shape, bool((digits[rows] == of_class[:, None]).all())
    ((10, 2), True)
    """
    pairs = []
    for repeat in range(repeats):
        rows = []
        for label in np.unique(labels[0]):
            members = [np.flatnonzero(one == label) for one in labels]
            sizes = [len(images) for images in members]
            if reuse and not all(sizes):
                raise ValueError(
                    f"class {label} of split {split!r} has {sizes} images in the "
                    "modalities, expected at least one in each"
                )
            count = max(sizes) if reuse else min(sizes)
            count = min(count, limit) if limit else count
            columns = []
            for m, images in enumerate(members):
                rng = generator(seed, "pairing", split, repeat, int(label), m)
                rounds = -(-count // len(images)) if count else 1
                drawn = [rng.permutation(images) for _ in range(rounds)]
                columns.append(np.concatenate(drawn)[:count])
            rows.append(np.stack(columns, axis=1))
        rows = np.concatenate(rows)
        order = generator(seed, "order", split, repeat).permutation(len(rows))
        pairs.append(rows[order])
    rows = np.concatenate(pairs).astype(np.int32)
    return rows, np.asarray(labels[0])[rows[:, 0]].astype(np.int32)
