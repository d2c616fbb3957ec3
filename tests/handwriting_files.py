"""A small folder of the files of `handwriting`: digits that are lines, tones."""

import gzip
import struct

import numpy as np

SPEAKERS = ("ann", "ben", "carla")


def _idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))


def write(root):
    """80 + 20 digits and one clip of each class by each speaker.

    Digit k is a horizontal line in row k % 28, of class k % 10; a clip of class c is a
    tone of 300 c + 300 Hz, its amplitude the speaker's.
    """
    (root / "mnist").mkdir(parents=True)
    strokes = {}
    for split, prefix, count in (("train", "train", 80), ("test", "t10k", 20)):
        number = np.arange(count) + (100 if split == "test" else 0)
        images = np.zeros((count, 28, 28), np.uint8)
        # The brightness differs, so that every picture is its own.
        images[np.arange(count), number % 28, 5:20] = 100 + number[:, None]
        labels = (number % 10).astype(np.uint8)
        _idx(root / f"mnist/{prefix}-images-idx3-ubyte.gz", images)
        _idx(root / f"mnist/{prefix}-labels-idx1-ubyte.gz", labels)
        steps = np.zeros((count, 4, 4), np.int8)
        steps[:, 0, 0], steps[:, 0, 1], steps[:, 1, 0] = 5, number % 28, 15
        steps[:, 2, 2:] = 1
        strokes |= {f"seq_{split}": steps, f"y_{split}": labels}
        strokes[f"len_{split}"] = np.full(count, 3, np.uint8)
    np.savez(root / "mnist_strokes.npz", **strokes)
    time = np.arange(3000) / 8000
    classes, speakers = np.divmod(np.arange(30), len(SPEAKERS))
    pitch = 300 * classes[:, None] + 300 + 7 * speakers[:, None]
    clips = 5000 * (1 + speakers[:, None]) * np.sin(2 * np.pi * pitch * time)
    np.savez(
        root / "fsdd_wave.npz",
        wave=clips.astype(np.int16).ravel(),
        length=np.full(30, 3000, np.int32),
        y=classes.astype(np.uint8),
        speaker=speakers.astype(np.uint8),
        speaker_names=np.array(SPEAKERS),
    )
    return root
