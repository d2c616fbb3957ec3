"""Batches of one size over all data, so that one compiled program serves them all."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jnf_jax.runtime import processes


def batches(size: int, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Covers 0, …, size − 1 in order; the last batch is filled up from the start.

    Yields:
      (i32[batch_size], number of them that count).

    >>> [(rows.tolist(), count) for rows, count in batches(5, 3)]
    [([0, 1, 2], 3), ([3, 4, 0], 2)]
    """
    for start in range(0, size, batch_size):
        count = min(batch_size, size - start)
        yield np.arange(start, start + batch_size, dtype=np.int32) % size, count


def map_batches(
    program: Callable[[int, np.ndarray], Any], size: int, batch_size: int
) -> Any:
    """``program`` of every batch, joined on the host in the order of the data.

    ``program`` maps the number of a batch and its rows i32[batch_size] to a pytree of
    [batch_size, ...]; joined, its leaves are NumPy arrays [size, ...]. A ``batch_size``
    above ``size`` is taken as ``size``, which is at least 1.
    """
    parts = []
    for number, (rows, count) in enumerate(batches(size, min(batch_size, size))):
        found = processes.to_host(program(number, rows))
        parts.append(jax.tree.map(lambda a, n=count: a[:n], found))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
