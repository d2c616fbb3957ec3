"""JNF on PolyMNIST on two CPU cores, with one flow for every subset.

    python -m jnf_jax.train --config polymnist/jnf_cpu \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/jnf_cpu

The joint VAE is that of polymnist/jnf_paper_cpu: ``--config.init.joint=DIR`` reads it
from a run of that. One conditional flow takes the place of unimodal flows and chains.
"""

import ml_collections

from jnf_jax.configs import subsets
from jnf_jax.configs.polymnist import jnf_paper_cpu

NUM_STEPS = 20_000


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 64, amortised subsets."""
    return amortised(jnf_paper_cpu.get_config())


def amortised(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """``config`` with one flow for every subset instead of unimodal flows."""
    config = subsets.amortised(config, NUM_STEPS, hidden_sizes=(512, 512))
    config.subset_posterior.linear_path = True
    return config
