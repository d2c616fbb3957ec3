"""Pixels, contrastive projectors or DCCA on MNIST–SVHN: what one digit tells.

    python -m jnf_jax.sweep --config configs/ablations/projectors_mnist_svhn.py \\
        --workdir runs/projectors_mnist_svhn

The authors' networks, for an accelerator, on one joint VAE. Not yet run.
"""

import ml_collections
from jnf_jax.configs.ablations import projectors


def get_config() -> ml_collections.ConfigDict:
    """The three configs of one folder."""
    config = projectors.get_config()
    config.base = "configs/mnist_svhn/{projectors}.py"
    config.axes = config.axes[1:]
    return config
