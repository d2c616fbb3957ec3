"""JNF-Shared on MNIST–SVHN: flows condition on projectors of the digit, for a GPU.

    python -m jnf_jax.train --config mnist_svhn/jnf_shared:cl \\
        --workdir runs/mnist_svhn/jnf_shared_cl

Stage ``joint`` is that of mnist_svhn/jnf: ``--config.init.joint=DIR`` reads it from a
run of that config. Not yet run.

- cl: NT-Xent, τ = 0.1, bases and embeddings of 10, 150 epochs: the authors' settings;
  the batch of 512 is ours, and they have β = 2.5 where this keeps the 0.5 of
  mnist_svhn/jnf.
- dcca: nine dimensions, batch 800, 100 epochs at 1e-4, ridge 1e-3: the authors'
  settings.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.mnist_svhn import jnf

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of mnist_svhn/jnf."""
    own = dict(cl=dict(size=10, base_size=10), dcca=dict(size=9))
    return projectors.with_projectors(
        jnf.get_config(),
        argument,
        posterior_hidden_sizes=(512, 512, 512),
        shared=projectors.epochs(argument, dict(cl=150, dcca=100)[argument], 252_000),
        **own[argument],
    )
