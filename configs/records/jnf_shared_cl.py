"""JNF-Shared on a data set of your own, projectors learnt by a contrastive loss.

    python -m jnf_jax.train --config records/jnf_shared_cl \\
        --config.data.records_dir=runs/own/data --workdir runs/own/jnf_shared_cl

For modalities that differ in more than what they share. To be copied, as `jnf.py`,
whose stage ``joint`` this is: ``--config.init.joint=DIR`` reads it from a run of that.
NT-Xent over all pairs, τ = 0.1; it needs large batches.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf_shared
from jnf_jax.configs.records import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf_shared.with_projectors(jnf.get_config(), "cl")
    config.projectors.update(size=16, posterior_hidden_sizes=(256, 256))
    config.shared.update(num_steps=1_000, batch_size=512)
    return config
