"""JNF on PolyMNIST on two CPU cores, with one flow for every subset.

    python -m jnf_jax.train --config polymnist/jnf_cpu \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/jnf_cpu

The joint VAE is that of polymnist/jnf_paper_cpu: ``--config.init.joint=DIR`` reads it
from a run of that. One conditional flow takes the place of unimodal flows and chains.

Not yet run as it stands. A smaller flow, of three blocks of three times 128 units over
20 components and without a linear path, had coherence .48 / .64 / .70 / .73 from
1 / 2 / 3 / 4 modalities, by hand on the way from eb1bf87 to cc4c03a, one seed, 1,000
tuples; polymnist/jnf_shared_amortised says what the size of the flow and projectors
change there.
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
    config = subsets.amortised(config, NUM_STEPS, num_blocks=5, hidden_sizes=(512, 512))
    config.subset_posterior.update(linear_path=True, num_components=50)
    return config
