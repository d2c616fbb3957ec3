"""JNF on PolyMNIST within 100 minutes of two CPU cores.

    python -m jnf_jax.train --config configs/polymnist/jnf_cpu.py \\
        --workdir runs/polymnist/jnf_cpu
"""

import ml_collections

from configs.polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """Smaller latent, small batches: updates are what is short."""
    config = jnf.get_config()
    config.model.latent_dim = 64
    config.model.networks.default.activation = "sigmoid"
    config.model.likelihoods.default.scale = 0.2
    config.optimizer.schedule = "cosine"
    config.joint = dict(num_steps=40_000, batch_size=32)
    config.unimodal = dict(num_steps=10_000, batch_size=64)
    return config
