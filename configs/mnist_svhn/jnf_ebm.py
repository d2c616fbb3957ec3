"""JNF on MNIST–SVHN with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config configs/mnist_svhn/jnf_ebm.py \\
        --workdir runs/mnist_svhn/jnf_ebm

Learnt with the joint VAE, as configs/digits/jnf_ebm.py: exp(f(z)) N(0, I), f learns
from half of stage ``joint`` on, and no plateau is looked for. All else is `jnf.py`. Not
yet run.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.mnist_svhn import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf.py` with an energy-based prior."""
    config = jnf.get_config()
    return priors.energy_from(config, config.joint.num_steps // 2)
