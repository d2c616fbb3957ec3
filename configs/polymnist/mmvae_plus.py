"""MMVAE+ on PolyMNIST with the settings of its July-2024 release, for an accelerator.

    python -m jnf_jax.train --config configs/polymnist/mmvae_plus.py \\
        --config.data.official_dir=DIR --workdir runs/polymnist/mmvae_plus

32 shared and 32 private dimensions, Laplace everywhere with softmax scales, K = 1,
β = 2.5, likelihood Laplace 0.75, residual networks, Adam with amsgrad 1e-3, 250 epochs
of batch 128. Expected from one modality to one other: coherence 0.869 (the authors'
README) and 0.886 ± 0.008 (MultiVae's reproduction, batch 32, 150 epochs), each under
its own protocol. Not yet run.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf

STEPS_PER_EPOCH = 54_000 // 128


def get_config() -> ml_collections.ConfigDict:
    """MMVAE+ as published."""
    config = jnf.get_config()
    config.unlock()
    config.method = "mmvae_plus"
    config.stages = "joint"
    config.experts = dict(
        private_dim=32, family="laplace", scale="softmax", num_importance_samples=1
    )
    config.model.latent_dim = 32
    config.model.networks.default = dict(
        kind="residual", features=(64, 128, 256), hidden_sizes=(), activation="identity"
    )
    config.model.beta = 2.5
    config.model.prior = dict(name="laplace")
    config.optimizer.update(optimizer="amsgrad", schedule="constant")
    config.joint = dict(num_steps=250 * STEPS_PER_EPOCH, batch_size=128, select="last")
    del config.flow, config.sampler, config.unimodal
    config.lock()
    return config
