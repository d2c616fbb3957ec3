"""Meshes and shardings: one axis, ``data``; batches split, parameters whole or split.

A batch that is split over devices gives the numbers of one device up to the order of
summation, because ``jax.random`` under jit does not depend on the device count. The
devices may belong to several processes (``processes.py``): all functions here are then
called by each of them alike.
"""

import math
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"

PARAMETERS = ("replicated", "sharded")
"""Where parameters live while they are trained: see ``state_sharding``."""

MOST_CPU_DEVICES = 8
"""Each holds copies of what is replicated."""


def make_cores_devices() -> None:
    """On CPU, one device a core instead of one for all; before JAX looks for devices.

    For chains and other long loops of small matrix products: XLA gives one of 500 rows
    to a single thread, so that devices side by side are faster (docs/speed.md). Nothing
    changes where ``JAX_NUM_CPU_DEVICES`` or ``XLA_FLAGS`` say a number, nor among
    several processes.
    """
    if (
        jax.config.jax_num_cpu_devices != -1
        or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
        or jax.distributed.is_initialized()
    ):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    jax.config.update("jax_num_cpu_devices", min(cores, MOST_CPU_DEVICES))


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh with the axis ``data`` of the first ``num_devices``; None is all of them.

    The axis type is Auto: ``jax.make_mesh`` defaults to Explicit axes, where ordinary
    code (a gather, ``x.T @ x``) raises ShardingTypeError.

    Raises:
      ValueError: ``num_devices`` is not between 1 and the number of devices.

    >>> dict(make_mesh(1).shape)
    {'data': 1}
    """
    devices = jax.devices()
    num_devices = len(devices) if num_devices is None else num_devices
    if not 1 <= num_devices <= len(devices):
        raise ValueError(
            f"`num_devices` is {num_devices}, expected 1 to {len(devices)}, as many as "
            "JAX sees"
        )
    return mesh_over(devices[:num_devices])


def mesh_of(device: jax.Device) -> Mesh:
    """The mesh of one device, whichever: for work that has it to itself.

    >>> mesh_of(jax.devices()[0]) == make_mesh(1)
    True
    """
    return mesh_over([device])


def mesh_over(devices: list[jax.Device]) -> Mesh:
    """The mesh of these devices, which need not be there: see ``experiments/pods.py``.

    >>> mesh_over(jax.devices()[:1]) == make_mesh(1)
    True
    """
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


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


def num_shards(mesh: Mesh | None) -> int:
    """The number of parts into which a batch is split."""
    return 1 if mesh is None else mesh.shape[AXIS]


def dividing_mesh(mesh: Mesh | None, size: int) -> Mesh | None:
    """The same devices, arranged so that batches of ``size`` split evenly.

    ``mesh`` itself where they do. Otherwise over as many devices as the greatest common
    divisor says; the others compute copies (axis ``copies``). For work whose batch size
    is not ours to choose, as that of a protocol whose draws depend on it. Arrays of two
    meshes do not meet in one program: ``put`` them on that of the batch.

    >>> dict(dividing_mesh(make_mesh(1), 500).shape)
    {'data': 1}
    """
    if mesh is None or (mesh.axis_names == (AXIS,) and size % mesh.size == 0):
        return mesh
    shards = math.gcd(size, mesh.size)
    devices = mesh.devices.reshape(shards, mesh.size // shards)
    return Mesh(devices, (AXIS, "copies"), axis_types=(AxisType.Auto,) * 2)


def state_sharding(shapes: Any, mesh: Mesh | None, parameters: str) -> Any:
    """A ``Sharding`` for each leaf of a train state, any pytree of ``shape``s.

    ``parameters`` are "replicated", whole on each device of ``mesh``; or "sharded"
    (fully sharded data parallel, arXiv 1910.02054): along a leaf's largest axis that
    the devices divide, the first of equals; a leaf without one is whole. Moments,
    averages and best parameters have the shapes of the parameters, hence their
    shardings.
    """

    def sharding_of(leaf: Any) -> jax.sharding.Sharding:
        divisible = [n for n in leaf.shape if n and n % num_shards(mesh) == 0]
        if parameters == "replicated" or mesh is None or not divisible:
            return replicated(mesh)
        return batch_sharding(mesh, axis=leaf.shape.index(max(divisible)))

    return jax.tree.map(sharding_of, shapes)


def put(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    """Arrays onto devices, those of other processes included; one sharding for all.

    Those on the host are whole, and the same, on every process, which copies only what
    its own devices hold.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put_leaf(x: Any) -> jax.Array:
        if isinstance(x, jax.Array):  # on devices already, perhaps those of all
            return jax.jit(lambda x: x, out_shardings=sharding)(x)
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda part: x[part])

    return jax.tree.map(put_leaf, tree)


def put_batch(batch: Any, mesh: Mesh | None) -> Any:
    """``put``, leaves [B, ...] split along B where that divides, whole where not."""
    return jax.tree.map(lambda x: put(x, _sharding_of_batch(x, mesh)), batch)


def constrain_batch(batch: Any, mesh: Mesh | None) -> Any:
    """Tells the compiler, inside jit, that leaves ``[B, ...]`` are split along B."""
    if mesh is None or mesh.size == 1:
        return batch
    return jax.tree.map(
        lambda x: jax.lax.with_sharding_constraint(x, _sharding_of_batch(x, mesh)),
        batch,
    )


def constrain_whole(tree: Any, mesh: Mesh | None) -> Any:
    """Tells the compiler, inside jit, that every device needs all of each leaf."""
    if mesh is None or mesh.size == 1:
        return tree
    return jax.lax.with_sharding_constraint(tree, replicated(mesh))


def _sharding_of_batch(x: Any, mesh: Mesh | None) -> jax.sharding.Sharding:
    if np.ndim(x) and np.shape(x)[0] % num_shards(mesh) == 0:
        return batch_sharding(mesh)
    return replicated(mesh)


def own_rows(batch_size: int, mesh: Mesh | None) -> slice:
    """The rows of a global batch that the devices of this process hold."""
    parts = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    bounds = [part.indices(batch_size) for (part,) in parts.values()]
    return slice(min(b[0] for b in bounds), max(b[1] for b in bounds))


def join_batch(local: Any, batch_size: int, mesh: Mesh | None) -> Any:
    """Global arrays [B, ...], split over the mesh, of what each process supplies.

    That is a pytree of [b, ...] on the host: the rows ``own_rows(batch_size, mesh)``.
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
    num_devices = num_shards(mesh)
    if batch_size % num_devices:
        near = max(batch_size // num_devices, 1) * num_devices
        raise ValueError(
            f"`batch_size` is {batch_size}, expected a multiple of the {num_devices} "
            f"devices, such as {near}"
        )
