"""mmJSD on the digits: a mixture of experts and a prior made of them.

    python -m jnf_jax.train --config digits/mmjsd --workdir runs/digits_mmjsd

Data, networks, likelihood and steps of digits/jnf_paper, β = 1. Every step runs each
decoder for the draws of all three experts. Not yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """mmJSD, latent 16, on the networks of digits/jnf_paper."""
    return peers.of_method(jnf_paper.get_config(), "mmjsd")
