"""Meshes on whatever devices there are; several devices: tests/multidevice."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from jnf_jax.runtime import parallel


def test_axes_are_auto_so_that_ordinary_code_runs():
    mesh = parallel.make_mesh(1)
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)
    x = jax.device_put(jnp.ones((4, 3)), parallel.batch_sharding(mesh))
    assert jax.jit(lambda x: x.T @ x)(x).shape == (3, 3)


@pytest.mark.parametrize("num_devices", [0, -1, 10_000])
def test_number_of_devices_is_checked(num_devices):
    with pytest.raises(
        ValueError, match=f"`num_devices` is {num_devices}, expected 1 to"
    ):
        parallel.make_mesh(num_devices)


def test_batch_size_must_divide():
    # One device, named eight times: a size is all that the check reads.
    eight = Mesh(np.array(jax.devices()[:1] * 8), (parallel.AXIS,))
    parallel.check_batch_size(32, eight)
    parallel.check_batch_size(30, None)
    message = "`batch_size` is 30, expected a multiple of the 8 devices, such as 24"
    with pytest.raises(ValueError, match=message):
        parallel.check_batch_size(30, eight)
    with pytest.raises(ValueError, match="`batch_size` is 3, .* such as 8"):
        parallel.check_batch_size(3, eight)


def test_sharded_parameters_lie_along_their_largest_divisible_axis():
    eight = Mesh(np.array(jax.devices()[:1] * 8), (parallel.AXIS,))
    shapes = {"kernel": (3, 3, 16, 64), "bias": (64,), "odd": (3, 5), "step": ()}
    leaves = {name: jax.ShapeDtypeStruct(s, jnp.float32) for name, s in shapes.items()}
    specs = {
        name: tuple(sharding.spec)
        for name, sharding in parallel.state_sharding(leaves, eight, "sharded").items()
    }
    assert specs == {
        "kernel": (None, None, None, "data"),
        "bias": ("data",),
        "odd": (),
        "step": (),
    }
    whole = parallel.state_sharding(leaves, eight, "replicated")
    assert {tuple(sharding.spec) for sharding in whole.values()} == {()}


@pytest.mark.parametrize(("size", "shards"), [(500, 4), (24, 8), (25, 1), (3, 1)])
def test_a_mesh_is_arranged_so_that_a_batch_divides(size, shards):
    eight = Mesh(np.array(jax.devices()[:1] * 8), (parallel.AXIS,))
    mesh = parallel.dividing_mesh(eight, size)
    copies = {"copies": 8 // shards} if shards < 8 else {}
    assert dict(mesh.shape) == {"data": shards, **copies}
    again = dict(parallel.dividing_mesh(mesh, 8).shape)
    assert again.pop("copies", 1) == 1 and again == {"data": 8}


def test_no_mesh_is_the_first_device():
    sharding = parallel.replicated(None)
    assert sharding.device_set == {jax.devices()[0]}
    assert parallel.batch_sharding(None) == sharding
    batch = {"x": jnp.ones(3)}
    assert parallel.constrain_batch(batch, None) is batch


def test_a_batch_of_own_rows_is_joined():
    mesh = parallel.make_mesh(1)
    assert parallel.own_rows(6, mesh) == parallel.own_rows(6, None) == slice(0, 6)
    local = {"x": np.arange(12).reshape(6, 2), "rows": np.arange(6)}
    joined = parallel.join_batch(local, 6, mesh)
    assert joined["x"].sharding == parallel.batch_sharding(mesh)
    jax.tree.map(np.testing.assert_array_equal, joined, local)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, min(len(os.sched_getaffinity(0)), parallel.MOST_CPU_DEVICES)),
        ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
    ],
    ids=["cores", "own variable", "XLA's flag"],
)
def test_every_core_is_a_device_unless_a_number_is_said(environment, expected):
    own = ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    inherited = {k: v for k, v in os.environ.items() if k not in own}
    program = (
        "import jax; from jnf_jax.runtime import parallel\n"
        "parallel.make_cores_devices(); print(jax.device_count())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=inherited | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(run.stdout) == expected
