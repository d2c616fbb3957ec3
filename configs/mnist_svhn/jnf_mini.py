"""The code path of `jnf.py` in minutes, for a small extract of SVHN ("SVHN-mini").

    python -m jnf_jax.train --config configs/mnist_svhn/jnf_mini.py \\
        --workdir runs/mnist_svhn/mini --config.data.svhn_data_dir=DIR

A set with fewer than SVHN's 73,257 training images is recorded as `mnist_svhn_mini` and
supports no claim.
"""

import ml_collections
from jnf_jax.configs.mnist_svhn import jnf


def get_config() -> ml_collections.ConfigDict:
    """As `jnf.py`, 2,000 + 2,000 steps."""
    config = jnf.get_config()
    config.joint.num_steps = 2_000
    config.unimodal.num_steps = 2_000
    config.optimizer.schedule = "cosine"
    config.unlock()
    config.evaluation.classifier = dict(num_steps=2_000, batch_size=64, select="last")
    config.lock()
    return config
