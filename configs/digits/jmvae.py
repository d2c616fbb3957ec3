"""JMVAE on the digits: Gaussian encoders trained with the joint one.

    python -m jnf_jax.train --config digits/jmvae --workdir runs/digits_jmvae

Data, networks, likelihood and steps of stage ``joint`` of digits/jnf_paper; β = 1, α =
0.1. Not yet run.
"""

import ml_collections

from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """JMVAE, latent 16, on the networks of digits/jnf_paper."""
    config = jnf_paper.get_config()
    config.unlock()
    config.method = "jmvae"
    config.stages = "joint"
    config.flow.num_blocks = 0
    del config.unimodal
    config.lock()
    return config
