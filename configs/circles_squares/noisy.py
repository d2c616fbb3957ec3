"""Circles and squares with private waves: how much of them can a method bear?

    python -m jnf_jax.train --config circles_squares/noisy:jnf \\
        --workdir runs/noisy/jnf_0.4 --config.data.noise=0.4

    python -m jnf_jax.train --config circles_squares/noisy:shared_cl \\
        --workdir runs/noisy/shared_cl_0.4 --config.data.noise=0.4 \\
        --config.init.joint=runs/noisy/jnf_0.4/checkpoints/joint

Those with projectors continue from stage one of ``:jnf``; ablations/private_noise runs
all three over amounts of waves. Few pairs, so that private detail can be over-fitted,
and small networks: minutes on a CPU. One seed, at a noise of 0.45: coherence .92
(``:jnf``), .97 (``:shared_cl``) and .95 (``:shared_dcca``). With three times the
learning rate the contrastive loss never left chance there (coherence .58, at e8b0ac1,
in no record).
"""

import ml_collections

from jnf_jax.configs.circles_squares import jnf, jnf_shared

ARGUMENTS = {
    "jnf": "JNF, latent 16, 2,000 pairs",
    "shared_cl": "JNF-Shared, projectors learnt by a contrastive loss",
    "shared_dcca": "JNF-Shared, projectors learnt by deep CCA",
}


def get_config(argument: str) -> ml_collections.ConfigDict:
    """JNF, or JNF-Shared on its joint VAE."""
    config = jnf.get_config()
    with config.unlocked():
        config.data.update(
            num_train=2_000, num_validation=1_000, num_test=5_000, noise=0.4
        )
    config.model.latent_dim = 16
    config.model.joint_hidden_sizes = (256,)
    config.model.networks.default.hidden_sizes = (256,)
    config.flow.max_log_scale = 2.0
    config.joint.num_steps = 2_000
    config.unimodal.num_steps = 2_000
    config.evaluation.num_tuples = 5_000
    config.evaluation.num_prior_samples = 1_000
    if argument == "shared_cl":
        config = jnf_shared.with_projectors(config, "cl")
        with config.unlocked():
            config.shared.update(num_steps=1_000, learning_rate=1e-3)
    if argument == "shared_dcca":
        config = jnf_shared.with_projectors(config, "dcca")
        config.shared.num_steps = 600
    return config
