"""The code path of mnist_svhn/jnf in minutes, for a small extract of SVHN.

    python -m jnf_jax.train --config mnist_svhn/jnf_mini \\
        --workdir runs/mnist_svhn/mini --config.data.svhn_data_dir=DIR

A set with fewer than SVHN's 73,257 training images is recorded as `mnist_svhn_mini`
("SVHN-mini") and supports no claim.
"""

import ml_collections

from jnf_jax.configs.mnist_svhn import jnf


def get_config() -> ml_collections.ConfigDict:
    """As mnist_svhn/jnf, 2,000 + 2,000 steps."""
    config = jnf.get_config()
    config.joint.num_steps = 2_000
    config.unimodal.num_steps = 2_000
    config.optimizer.schedule = "cosine"
    config.unlock()
    config.evaluation.classifier = dict(num_steps=2_000, batch_size=64, select="last")
    config.lock()
    return config
