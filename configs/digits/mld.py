"""MLD on the digits: an autoencoder a view, then one diffusion of all their codes.

    python -m jnf_jax.train --config digits/mld --workdir runs/digits_mld

Data, networks and likelihood of digits/jnf_paper, and its steps for the autoencoders;
codes of 16 numbers a view. Every row of a batch has a random subset of the views given,
of none to two. Not yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """MLD, 16 numbers a view, on the networks of digits/jnf_paper."""
    diffusion = dict(num_steps=10_000, batch_size=256, schedule="cosine")
    return peers.latent_diffusion(jnf_paper.get_config(), diffusion)
