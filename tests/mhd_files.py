"""The two files of MHD in their published layout, with digits that are lines."""

import numpy as np

COUNTS = {"train": 40, "test": 20}


def entries(split, *, whole_sounds=False):
    """The six entries of a file; digit k is numbered through both files.

    Its picture has row k % 28 lit, its pen goes down a line at x = k / 100 of the range
    from −1.5 to 1.5, and its sound grows louder in band k % 32.
    """
    count = COUNTS[split]
    number = np.arange(count) + (COUNTS["train"] if split == "test" else 0)
    pictures = np.zeros((count, 3, 28, 28), np.float32)
    pictures[np.arange(count), :, number % 28, 4:20] = 1.0
    pictures[:, 0, 0, 0] = number / 100  # so that every picture is its own
    x = np.repeat(3 * number[:, None] / 100 - 1.5, 100, axis=1)
    y = np.linspace(-1.5, 1.5, 100) + 0 * x
    sounds = np.zeros((count, 128, 32), np.float32)
    sounds[np.arange(count), :, number % 32] = np.linspace(0, 1, 128)
    blocks = sounds.reshape(count, 4, 32, 32)
    if whole_sounds:
        blocks = np.ascontiguousarray(sounds.transpose(0, 2, 1)[:, None])
    return (
        (number % 10).astype(np.int64),
        pictures,
        np.concatenate([x, y], axis=1).astype(np.float32),
        blocks,
        {"min": -1.5, "max": 1.5},
        {"min": 0.0, "max": 1.0},
    )


def write(root, torch_save, **options):
    """Writes ``root``/mhd_{train,test}.pt."""
    for split in COUNTS:
        torch_save(root / f"mhd_{split}.pt", entries(split, **options))
