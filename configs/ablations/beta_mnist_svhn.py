"""β of the joint VAE on MNIST–SVHN; needs all of SVHN.

    python -m jnf_jax.sweep --config configs/ablations/beta_mnist_svhn.py \\
        --workdir runs/beta_mnist_svhn

All else is configs/mnist_svhn/jnf.py. Not yet run.
"""

import ml_collections
from jnf_jax.configs.ablations import beta


def get_config() -> ml_collections.ConfigDict:
    """Two modalities, so there is no coherence from two."""
    config = beta.get_config()
    config.base = "configs/mnist_svhn/jnf.py"
    config.quantities = tuple(
        path for path in config.quantities if path != "coherence.conditional.2"
    )
    return config
