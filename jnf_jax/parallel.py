"""Meshes and shardings: one axis, ``data``; parameters replicated, batches split.

A batch that is split over devices gives the numbers of one device up to the order of
summation, because ``jax.random`` under jit does not depend on the device count.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A one-dimensional mesh with the axis ``data``.

    The axis type is Auto: ``jax.make_mesh`` defaults to Explicit axes, where ordinary
    code (a gather, ``x.T @ x``) raises ShardingTypeError.

    Args:
      num_devices: how many of ``jax.devices()``, from the first; None is all of them.

    Returns:
      The mesh.

    Raises:
      ValueError: ``num_devices`` is not between 1 and the number of devices.

    >>> dict(make_mesh(1).shape)
    {'data': 1}
    """
    devices = jax.devices()
    num_devices = len(devices) if num_devices is None else num_devices
    if not 1 <= num_devices <= len(devices):
        raise ValueError(
            f"num_devices must be between 1 and {len(devices)} (the devices that JAX "
            f"sees), got {num_devices}"
        )
    return Mesh(np.array(devices[:num_devices]), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh | None) -> jax.sharding.Sharding:
    """A whole copy on every device of the mesh; None is the first device alone."""
    if mesh is None:
        return jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh | None, *, axis: int = 0) -> jax.sharding.Sharding:
    """Axis number ``axis`` split over the devices, the others whole on each."""
    if mesh is None:
        return replicated(None)
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def constrain_batch(batch: Any, mesh: Mesh | None) -> Any:
    """Tells the compiler, inside jit, that leaves ``[B, ...]`` are split along B."""
    if mesh is None or mesh.size == 1:
        return batch
    return jax.lax.with_sharding_constraint(batch, batch_sharding(mesh))


def own_rows(batch_size: int, mesh: Mesh | None) -> slice:
    """The rows of a global batch that the devices of this process hold."""
    parts = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    bounds = [part.indices(batch_size) for (part,) in parts.values()]
    return slice(min(b[0] for b in bounds), max(b[1] for b in bounds))


def join_batch(local: Any, batch_size: int, mesh: Mesh | None) -> Any:
    """Global arrays [B, ...], split over the mesh, of what each process supplies.

    Args:
      local: pytree of [b, ...] on the host: the rows ``own_rows(batch_size, mesh)``.
      batch_size: B.
      mesh: of all processes.

    Returns:
      The pytree on the devices.
    """
    sharding, first = batch_sharding(mesh), own_rows(batch_size, mesh).start

    def join(x: np.ndarray) -> jax.Array:
        def shard(index: tuple[slice, ...]) -> np.ndarray:
            start, stop, _ = index[0].indices(batch_size)
            return x[start - first : stop - first]

        shape = (batch_size, *x.shape[1:])
        return jax.make_array_from_callback(shape, sharding, shard)

    return jax.tree.map(join, local)


def check_batch_size(batch_size: int, mesh: Mesh | None) -> None:
    """Raises ValueError unless the global batch splits evenly over the mesh."""
    num_devices = 1 if mesh is None else mesh.size
    if batch_size % num_devices:
        near = max(batch_size // num_devices, 1) * num_devices
        raise ValueError(
            f"batch size {batch_size} is not divisible by {num_devices} devices; the "
            f"nearest smaller one that is: {near}"
            if near < batch_size
            else f"batch size {batch_size} is not divisible by {num_devices} devices; "
            f"the smallest one that is: {near}"
        )
