"""Stage ``shared`` contrasts the whole batch: its gradient does not see the devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import parallel
from jnf_jax.methods.method import Batch
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import (
    FlowSettings,
    LikelihoodSettings,
    ModelSettings,
    ProjectorSettings,
)
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.sampling import ChainSettings

pytestmark = [
    pytest.mark.multidevice,
    pytest.mark.skipif(
        jax.device_count() < 2,
        reason="XLA_FLAGS=--xla_force_host_platform_device_count=8 gives some",
    ),
]

SHAPES = {"a": (6,), "b": (4,), "c": (5,)}


@pytest.mark.parametrize("objective", ["nt_xent", "info_nce", "dcca"])
def test_the_loss_is_of_the_whole_batch(objective):
    method = build_method(
        "jnf_shared",
        SHAPES,
        model=ModelSettings(
            2,
            {"default": NetworkSettings("mlp", hidden_sizes=(16,))},
            {"default": LikelihoodSettings("normal", 0.5)},
        ),
        flow=FlowSettings(num_blocks=1, hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=5, num_adaptation=5),
        projectors=ProjectorSettings(objective, 3, base_size=8),
    )
    stage = method.stages[0]
    assert stage.name == "shared"
    keys = jax.random.split(jax.random.key(0), 4)
    params = stage.init(keys[0])
    batch = Batch(
        {
            m: jax.random.normal(key, (64, *shape))
            for (m, shape), key in zip(SHAPES.items(), keys[1:], strict=True)
        }
    )

    @jax.jit
    def loss_and_gradient(params, batch):
        return jax.value_and_grad(lambda p: stage.loss(p, None, keys[0], batch)[0])(
            params
        )

    mesh = parallel.make_mesh()
    spread = loss_and_gradient(
        parallel.put(params, parallel.replicated(mesh)),
        parallel.put_batch(batch, mesh),
    )
    whole = loss_and_gradient(params, batch)
    np.testing.assert_allclose(spread[0], whole[0], rtol=1e-5)
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(whole[1]))
    assert largest > 1e-3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest),
        spread[1],
        whole[1],
    )

    # A mean over devices of what each finds in its own rows is something else.
    parts = [jax.tree.map(lambda x, k=k: x[k::8], batch) for k in range(8)]
    if objective != "dcca":  # 8 rows are too few for a covariance
        apart = np.mean([loss_and_gradient(params, part)[0] for part in parts])
        assert abs(apart - whole[0]) > 0.5
