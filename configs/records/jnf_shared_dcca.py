"""JNF-Shared on a data set of your own, projectors learnt by deep CCA.

    python -m jnf_jax.train --config records/jnf_shared_dcca \\
        --config.data.records_dir=runs/own/data --workdir runs/own/jnf_shared_dcca

As `jnf_shared_cl.py`, but for the projectors: ``projectors.size`` is how many
directions the modalities share (of k classes, k - 1), and a batch must have several
times as many rows.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf_shared
from jnf_jax.configs.records import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf_shared.with_projectors(jnf.get_config(), "dcca")
    config.projectors.update(size=9, posterior_hidden_sizes=(256, 256))
    config.shared.update(num_steps=1_000, batch_size=512)
    return config
