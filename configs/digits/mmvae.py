"""MMVAE on the digits: a mixture of experts, by an importance-weighted bound.

    python -m jnf_jax.train --config digits/mmvae --workdir runs/digits_mmvae

Data, networks, likelihood and steps of digits/jnf_paper, β = 1; Laplace experts and a
Laplace prior whose scales are learnt. K = 1, so that a step runs each decoder for three
draws, as digits/mmvae_plus does, and scales are exp(½ ℓ) for the reason told there. Not
yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """MMVAE, latent 16, on the networks of digits/jnf_paper."""
    return peers.of_method(
        jnf_paper.get_config(),
        "mmvae",
        family="laplace",
        scale="exp",
        num_importance_samples=1,
        bound="looser",
        gradient="plain",
    )
