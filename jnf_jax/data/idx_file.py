"""Reads the format of MNIST's own files: a magic number, the shape, then the bytes."""

import gzip
import math
from pathlib import Path

import numpy as np

_BYTES = 8
"""The type code of unsigned bytes; MNIST has no other."""


def read(path: Path) -> np.ndarray:
    """The array u8[...] in a gzipped idx file.

    Args:
      path: e.g. "train-images-idx3-ubyte.gz".

    Raises:
      ValueError: not such a file, of another type than bytes, or cut short.
    """
    try:
        raw = gzip.decompress(Path(path).read_bytes())
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: expected a gzipped idx file ({error})") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _BYTES:
        raise ValueError(f"{path}: expected an idx file of bytes, got {raw[:4]!r}")
    start = 4 + 4 * raw[3]
    shape = tuple(np.frombuffer(raw[4:start], ">u4").tolist())
    if len(raw) - start != math.prod(shape):
        raise ValueError(
            f"{path}: shape {shape} does not fit its {len(raw) - start} bytes"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
