"""JNF-Shared on MNIST–SVHN, projectors learnt by deep CCA, for a GPU.

    python -m jnf_jax.train --config configs/mnist_svhn/jnf_shared_dcca.py \\
        --workdir runs/mnist_svhn/jnf_shared_dcca

Nine dimensions, batch 800, 100 epochs at 1e-4, ridge 1e-3: the authors' settings. Stage
``joint`` is that of `jnf.py`: ``--config.init.joint=DIR`` reads it from a run of that
config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.mnist_svhn import jnf_shared_cl

STEPS_PER_EPOCH = 252_000 // 800


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); all but the projectors as in `jnf_shared_cl.py`."""
    config = jnf_shared_cl.get_config()
    with config.unlocked():
        config.projectors = dict(
            objective="dcca",
            size=9,
            num_correlations=0,
            ridge=1e-3,
            posterior_hidden_sizes=(512, 512, 512),
        )
        config.shared = dict(
            num_steps=100 * STEPS_PER_EPOCH,
            batch_size=800,
            learning_rate=1e-4,
            schedule="constant",
        )
    return config
