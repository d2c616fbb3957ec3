"""JNF on Translated PolyMNIST with the authors' settings, for a GPU.

    python -m jnf_jax.train --config translated_polymnist/jnf \\
        --workdir runs/translated_polymnist/jnf

Digits of 0.75 of their size, somewhere else in every modality. Latent 200, Laplace
0.75, β 1, 150 epochs of stage one, residual networks of 64, 128 and 256 maps; batch,
rate and as many epochs of stage two are ours, and so is the scale exp(½ log σ²) where
theirs is a softplus. The authors (summary of the paper): all models fail from the
prior. Not yet run here. Data as in polymnist/jnf.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf

STEPS_PER_EPOCH = 54_000 // 256


def get_config() -> ml_collections.ConfigDict:
    """Their networks; stage two as long as stage one."""
    config = jnf.get_config()
    config.data.scale = 0.75
    config.model.latent_dim = 200
    config.model.networks.default.update(kind="residual", features=(64, 128, 256))
    config.joint.num_steps = 150 * STEPS_PER_EPOCH
    config.unimodal.num_steps = 150 * STEPS_PER_EPOCH
    return config
