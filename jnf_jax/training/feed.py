"""How the rows of a step reach the devices: as indices, or read from files ahead.

Either way they follow ``batches.py``, so that a run may go on with its data elsewhere.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.data.pipeline import open_stream, restore_position
from jnf_jax.runtime import parallel
from jnf_jax.stage import Stage
from jnf_jax.training import batches
from jnf_jax.training.optimizers import TrainSettings


class Feed(NamedTuple):
    """Rows of training data, in the order of the steps.

    Attributes:
      take: ``take(step, count)``: those of the next ``count`` steps, ``step`` the first
        of them; leaves [B, ...], or [count, B, ...] where ``count`` is more than 1.
      position: JSON-able, for a checkpoint to keep; None where the step says all.
      close: stops reading.
    """

    take: Callable[[int, int], Any]
    position: Callable[[], dict[str, Any] | None]
    close: Callable[[], None]


def open_feed(
    stage: Stage,
    settings: TrainSettings,
    mesh: jax.sharding.Mesh | None,
    step: int,
    position: dict[str, Any] | None,
) -> Feed:
    """The rows of a stage after ``step`` steps, split over the devices of ``mesh``.

    ``position`` is what ``Feed.position()`` said then, None where the data were on the
    device; one that is not of ``step`` raises ValueError.
    """

    def indices_of_steps(step: int, count: int) -> np.ndarray:
        return batches.batch_indices(
            step,
            count,
            name=stage.name,
            size=stage.train_size,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )

    if stage.train_read is None:

        def put(step: int, count: int) -> jax.Array:
            indices = indices_of_steps(step, count)
            indices = indices[0] if count == 1 else indices
            sharding = parallel.batch_sharding(mesh, axis=indices.ndim - 1)
            return parallel.put(indices, sharding)

        return Feed(put, lambda: None, lambda: None)

    stream = open_stream(
        lambda step: _read(stage.train_read, indices_of_steps(step, 1)[0], mesh),
        settings.num_steps,
    )
    restore_position(stream, position, step)
    stack = jax.jit(
        lambda rows: jax.tree.map(lambda *x: jnp.stack(x), *rows),
        out_shardings=parallel.batch_sharding(mesh, axis=1),
    )

    def take(step: int, count: int) -> Any:
        del step
        rows = [next(stream) for _ in range(count)]
        return rows[0] if count == 1 else stack(rows)

    return Feed(take, stream.get_state, stream.close)


def validation_mesh(
    stage: Stage, settings: TrainSettings, mesh: jax.sharding.Mesh | None
) -> jax.sharding.Mesh | None:
    """``mesh`` as it divides the validation batches, which do not depend on it."""
    if not stage.validation_size:
        return mesh
    indices = batches.validation_indices(stage.validation_size, settings.batch_size)
    return parallel.dividing_mesh(mesh, indices.shape[1])


def validation_rows(
    stage: Stage, settings: TrainSettings, mesh: jax.sharding.Mesh | None
) -> tuple[Callable[[], Iterable[Any]], int]:
    """A function that gives the rows of every validation batch, and their number.

    ``mesh`` is that of ``validation_mesh``.
    """
    indices = batches.validation_indices(stage.validation_size, settings.batch_size)
    if stage.validation_read is None:
        rows = parallel.put(list(indices), parallel.batch_sharding(mesh))
        return lambda: rows, len(indices)

    def read_all() -> Iterator[Any]:
        stream = open_stream(
            lambda number: _read(stage.validation_read, indices[number], mesh),
            len(indices),
        )
        with contextlib.closing(stream):
            yield from stream

    return read_all, len(indices)


def _read(
    read: Callable[[np.ndarray], Any],
    indices: np.ndarray,
    mesh: jax.sharding.Mesh | None,
) -> Any:
    """This process reads its share of a batch; together they make the whole."""
    size = len(indices)
    return parallel.join_batch(read(indices[parallel.own_rows(size, mesh)]), size, mesh)
