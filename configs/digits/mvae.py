"""MVAE on the digits: a product of experts and N(0, I), by sub-sampled ELBOs.

    python -m jnf_jax.train --config digits/mvae --workdir runs/digits_mvae

Data, networks, likelihood and steps of digits/jnf_paper, β = 1. One random subset a
datum and step (K = 1) stands beside all modalities and each alone, so that a step runs
every decoder for three draws. Not yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """MVAE, latent 16, on the networks of digits/jnf_paper."""
    return peers.of_method(jnf_paper.get_config(), "mvae")
