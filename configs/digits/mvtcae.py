"""MVTCAE on the digits: a product of experts, by total correlation.

    python -m jnf_jax.train --config digits/mvtcae --workdir runs/digits_mvtcae

Data, networks, likelihood and steps of digits/jnf_paper, β = 1. α = 5/6, as published.
Not yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """MVTCAE, latent 16, on the networks of digits/jnf_paper."""
    return peers.of_method(jnf_paper.get_config(), "mvtcae")
