"""JNF-Shared on PolyMNIST, projectors learnt by a contrastive loss, for a GPU.

    python -m jnf_jax.train --config configs/polymnist/jnf_shared_cl.py \\
        --workdir runs/polymnist/jnf_shared_cl

NT-Xent over the ten pairs, τ = 0.1, bases of 64 and embeddings of 10, 80 epochs: what
the authors have on Translated PolyMNIST; the batch of 512 is ours. Stage ``joint`` is
that of `jnf.py`: ``--config.init.joint=DIR`` reads it from a run of that config. Not
yet confirmed.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf

STEPS_PER_EPOCH = 54_000 // 512


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
            size=10,
            base_size=64,
            temperature=0.1,
            learns_temperature=False,
            posterior_hidden_sizes=(512, 512, 512),
        )
        config.shared = dict(
            num_steps=80 * STEPS_PER_EPOCH, batch_size=512, schedule="cosine"
        )
    return config
