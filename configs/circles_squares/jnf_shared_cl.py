"""JNF-Shared on circles and squares, projectors learnt by a contrastive loss.

    python -m jnf_jax.train --config configs/circles_squares/jnf_shared_cl.py \\
        --workdir runs/toy/jnf_shared_cl \\
        --config.init.joint=runs/toy/jnf/checkpoints/joint

NT-Xent with τ = 0.1. Stage ``joint`` is that of `jnf.py`; without ``init.joint`` it is
trained here. One seed: coherence .92, where `jnf.py` has .88 on the same joint VAE.
"""

import ml_collections
from jnf_jax.configs.circles_squares import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf.py`."""
    return with_projectors(jnf.get_config())


def with_projectors(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """JNF-Shared (CL) on the joint VAE of a JNF's config."""
    config.method = "jnf_shared"
    config.stages = "shared,joint,unimodal"
    with config.unlocked():
        config.projectors = dict(
            objective="nt_xent",
            size=2,
            base_size=16,
            temperature=0.1,
            learns_temperature=False,
            posterior_hidden_sizes=(128, 128),
        )
        config.shared = dict(num_steps=2_000, batch_size=512)
    return config
