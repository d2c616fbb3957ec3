"""Which data a step sees: pure functions of seed and step number, on the host."""

import functools
import zlib

import numpy as np


@functools.lru_cache(maxsize=2)
def _epoch_order(seed: int, name: str, epoch: int, size: int) -> np.ndarray:
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), epoch))
    return rng.permutation(size).astype(np.int32)


def batch_indices(
    first_step: int, num_steps: int, *, name: str, size: int, batch_size: int, seed: int
) -> np.ndarray:
    """The data that ``num_steps`` steps from ``first_step`` on see.

    Each epoch is a permutation of the ``size`` training data, drawn from (seed, name of
    the stage, epoch); its last partial batch is dropped. A pure function of the step,
    so that resuming needs no position.

    Returns:
      i32[num_steps, batch_size].

    Raises:
      ValueError: ``batch_size`` is not between 1 and ``size``.
    """
    if not 1 <= batch_size <= size:
        raise ValueError(
            f"`{name}.batch_size` is {batch_size}, expected 1 to {size}, the number of "
            "training data"
        )
    per_epoch = size // batch_size
    rows = []
    for step in range(first_step, first_step + num_steps):
        epoch, position = divmod(step, per_epoch)
        order = _epoch_order(seed, name, epoch, size)
        rows.append(order[position * batch_size : (position + 1) * batch_size])
    return np.stack(rows)


def validation_indices(size: int, batch_size: int) -> np.ndarray:
    """Batches i32[num_batches, size_of_each] that cover the validation split.

    As few batches as ``batch_size`` allows, all equally large, so that their plain mean
    is the mean over the split and one program serves all. What does not divide is left
    out: fewer data than there are batches, the same ones always. The number of devices
    has no say, so that a loss means the same on any.

    >>> validation_indices(10, 4).tolist()
    [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    """
    num_batches = -(-size // batch_size)
    each = size // num_batches
    return np.arange(num_batches * each, dtype=np.int32).reshape(num_batches, each)
