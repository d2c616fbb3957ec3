"""JMVAE on circles and squares: Gaussian encoders trained with the joint one.

β and α are constant from the first step: there is no warm-up of the KL.

    python -m jnf_jax.train --config circles_squares/jmvae --workdir runs/toy/jmvae

α = 0.1 as the authors of arXiv 2502.03952; 30 epochs, as JNF's two stages together.
"""

import ml_collections

from jnf_jax.configs.circles_squares import jnf


def get_config() -> ml_collections.ConfigDict:
    """JMVAE with the networks of circles_squares/jnf."""
    config = jnf.get_config()
    config.unlock()
    config.method = "jmvae"
    config.stages = "joint"
    config.flow.num_blocks = 0
    config.joint.num_steps = 30 * jnf.STEPS_PER_EPOCH
    del config.unimodal
    config.lock()
    return config
