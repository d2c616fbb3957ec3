"""Infers, samples and measures on a mesh of N devices; prints what it found as JSON.

JAX_NUM_CPU_DEVICES=8 python evaluate_on.py 8
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import parallel, processes
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.metrics.held_out import HeldOut
from jnf_jax.metrics.likelihood import LikelihoodSettings as WeightSettings
from jnf_jax.metrics.likelihood import evaluate_likelihood
from jnf_jax.metrics.posterior import mean_unimodal_log_prob, posterior_gap
from jnf_jax.metrics.protocol import ProtocolSettings, evaluate_coherence
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.sampling import ChainSettings

SHAPES = {"a": (4, 4, 1), "b": (4, 4, 1), "c": (4, 4, 1)}
SETTINGS = ProtocolSettings(
    num_tuples=48, batch_size=24, num_prior_samples=24, num_diagnostic_data=4
)


def main() -> None:
    mesh = parallel.make_mesh(int(sys.argv[1]))
    mesh = parallel.dividing_mesh(mesh, SETTINGS.batch_size)
    method = build_method(
        "jnf",
        SHAPES,
        model=ModelSettings(
            latent_dim=3,
            joint_hidden_sizes=(8,),
            networks={"default": NetworkSettings("mlp", hidden_sizes=(8,))},
            likelihoods={"default": LikelihoodSettings()},
        ),
        flow=FlowSettings(hidden_sizes=(8,)),
        sampler=ChainSettings(num_transitions=4, num_adaptation=4),
    )
    inference, stages = method.inference, method.stages
    params = {s.name: jax.jit(s.init)(jax.random.key(1)) for s in stages}
    images = np.random.default_rng(0).uniform(size=(48, 3, 4, 4, 1))
    params, arrays = parallel.put(
        (params, images.astype(np.float32)), parallel.replicated(mesh)
    )
    held_out = HeldOut(
        arrays,
        lambda images, rows: {m: images[rows, i] for i, m in enumerate(sorted(SHAPES))},
        48,
        np.arange(48) % 2,
        2,
        mesh=mesh,
    )
    views = held_out.views(np.arange(24, dtype=np.int32))
    key, subset = jax.random.key(2), ("a", "b")
    step_size = inference.adapt(params, key, views, subset)
    # Not the adapted one, which is long: chains stretch differences in rounding by it.
    z, info = inference.infer(params, key, views, subset, jnp.float32(0.1))

    def predict(views):
        return {m: (x.mean((1, 2, 3)) > 0.5).astype(int) for m, x in views.items()}

    likelihood = evaluate_likelihood(
        inference, params, held_out, SETTINGS, WeightSettings(8, 4, 0, 24, 64)
    )
    report = evaluate_coherence(inference, params, held_out, predict, SETTINGS)
    found = {
        "z": np.ravel(processes.to_host(z)).tolist(),
        "step_size": float(step_size),
        "acceptance": processes.to_host(info.acceptance).tolist(),
        "log_probs": mean_unimodal_log_prob(inference, params, held_out, SETTINGS),
        "gap": posterior_gap(inference, params, held_out, SETTINGS)[0],
        "log_p": likelihood["joint"]["log_prob"],
        "log_p_given": {
            s: c["a"] for s, c in likelihood["conditional_by_subset"].items()
        },
        "conditional": report.table.micro,
        "joint": report.joint,
        "ceiling": report.ceiling,
        "rows_of_z_on_first_device": z.addressable_shards[0].data.shape[0],
        "rows_of_views": [
            jnp.shape(x.addressable_shards[0].data)[0] for x in views.values()
        ],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
