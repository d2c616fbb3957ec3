"""MoPoE on the digits: a mixture of the products over all seven subsets.

    python -m jnf_jax.train --config digits/mopoe --workdir runs/digits_mopoe

Data, networks, likelihood and steps of digits/jnf_paper, β = 1. Not yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """MoPoE, latent 16, on the networks of digits/jnf_paper."""
    return peers.of_method(jnf_paper.get_config(), "mopoe")
