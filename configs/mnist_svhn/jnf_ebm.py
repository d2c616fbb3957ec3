"""JNF on MNIST–SVHN with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config mnist_svhn/jnf_ebm \\
        --workdir runs/mnist_svhn/jnf_ebm

Learnt with the joint VAE, as digits/jnf_ebm: exp(f(z)) N(0, I), f learns from half of
stage ``joint`` on, and no plateau is looked for. All else is mnist_svhn/jnf. Not yet
run.
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.mnist_svhn import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of mnist_svhn/jnf with an energy-based prior."""
    config = jnf.get_config()
    return priors.energy_from(config, config.joint.num_steps // 2)
