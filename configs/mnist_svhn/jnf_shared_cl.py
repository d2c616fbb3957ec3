"""JNF-Shared on MNIST–SVHN, projectors learnt by a contrastive loss, for a GPU.

    python -m jnf_jax.train --config configs/mnist_svhn/jnf_shared_cl.py \\
        --workdir runs/mnist_svhn/jnf_shared_cl

NT-Xent, τ = 0.1, bases and embeddings of 10, 150 epochs: the authors' settings; the
batch of 512 is ours, and they have β = 2.5 where this keeps the 0.5 of `jnf.py`, whose
stage ``joint`` it can then read (``--config.init.joint=DIR``). Not yet run.
"""

import ml_collections
from jnf_jax.configs.mnist_svhn import jnf

STEPS_PER_EPOCH = 252_000 // 512


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf.get_config()
    config.method = "jnf_shared"
    config.stages = "shared,joint,unimodal"
    with config.unlocked():
        config.projectors = dict(
            objective="nt_xent",
            size=10,
            base_size=10,
            temperature=0.1,
            learns_temperature=False,
            posterior_hidden_sizes=(512, 512, 512),
        )
        config.shared = dict(
            num_steps=150 * STEPS_PER_EPOCH, batch_size=512, schedule="cosine"
        )
    return config
