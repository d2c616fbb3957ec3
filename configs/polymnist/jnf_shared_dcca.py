"""JNF-Shared on PolyMNIST, projectors learnt by deep CCA, for a GPU.

    python -m jnf_jax.train --config configs/polymnist/jnf_shared_dcca.py \\
        --workdir runs/polymnist/jnf_shared_dcca

Twenty dimensions, batch 800, 200 epochs at 1e-4, ridge 1e-3: the authors' settings.
Expected, from their stored runs (4 seeds, MultiVae's protocol): coherence
.75 / .89 / .93 / .95 from 1 / 2 / 3 / 4 modalities. Stage ``joint`` is that of
`jnf.py`: ``--config.init.joint=DIR`` reads it from a run of that config. Not yet
confirmed.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf, jnf_shared_cl

STEPS_PER_EPOCH = 54_000 // 800


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); joint VAE, flows and evaluation of `jnf.py`."""
    return with_projectors(jnf.get_config())


def with_projectors(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA) on the joint VAE of a JNF's config."""
    config = jnf_shared_cl.with_projectors(config)
    with config.unlocked():
        config.projectors = dict(
            objective="dcca",
            size=20,
            num_correlations=0,
            ridge=1e-3,
            posterior_hidden_sizes=(512, 512, 512),
        )
        config.shared = dict(
            num_steps=200 * STEPS_PER_EPOCH,
            batch_size=800,
            learning_rate=1e-4,
            schedule="constant",
        )
    return config
