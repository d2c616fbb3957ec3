"""JNF on Translated PolyMNIST with a mixture of 40 normals as prior, for a GPU.

    python -m jnf_jax.train --config translated_polymnist/jnf_mixture \\
        --workdir runs/translated_polymnist/jnf_mixture

Learnt with the joint VAE, as CMVAE's. All else is translated_polymnist/jnf. Not yet
run.
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of translated_polymnist/jnf with a mixture as prior."""
    config = jnf.get_config()
    with config.unlocked():
        config.model.prior = priors.MIXTURE
    return config
