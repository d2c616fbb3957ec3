"""A small data set in array_record files, whose pictures spell their row number."""

import numpy as np

from jnf_jax.data import record_files

SIZES = {"train": 70, "validation": 21, "test": 10}
SHAPES = {"a": (3, 4, 1), "b": (2, 2, 3)}
NUM_CLASSES = 5


def pictures(rows):
    """{modality: u8[b, …]}: the row number, then noise that is its own."""
    drawn = {
        m: np.stack(
            [
                np.random.default_rng([number, int(row)]).integers(
                    0, 256, shape, np.uint8
                )
                for row in rows
            ]
        )
        for number, (m, shape) in enumerate(SHAPES.items())
    }
    for x in drawn.values():
        x[:, 0, 0, 0] = rows
    return drawn


def part(rows):
    """Pictures and labels, as ``record_files.write`` takes them."""
    rows = np.asarray(rows, np.int32)
    return pictures(rows), rows % NUM_CLASSES


def parts(size, each=16):
    """All tuples of a split in several parts."""
    for start in range(0, size, each):
        yield part(np.arange(start, min(start + each, size)))


def write(folder, **changes):
    """Writes the set; returns its folder."""
    options = {
        "name": "numbered",
        "num_classes": NUM_CLASSES,
        "splits": {split: parts(size) for split, size in SIZES.items()},
    }
    record_files.write(folder, **options | changes)
    return folder
