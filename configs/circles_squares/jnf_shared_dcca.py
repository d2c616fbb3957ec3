"""JNF-Shared on circles and squares, projectors learnt by deep CCA.

    python -m jnf_jax.train --config configs/circles_squares/jnf_shared_dcca.py \\
        --workdir runs/toy/jnf_shared_dcca \\
        --config.init.joint=runs/toy/jnf/checkpoints/joint

One dimension, as the authors', for the one bit that is shared. Stage ``joint`` is that
of `jnf.py`; without ``init.joint`` it is trained here. One seed: coherence .94, where
`jnf.py` has .88 on the same joint VAE.
"""

import ml_collections
from jnf_jax.configs.circles_squares import jnf, jnf_shared_cl


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); joint VAE, flows and evaluation of `jnf.py`."""
    return with_projectors(jnf.get_config())


def with_projectors(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA) on the joint VAE of a JNF's config."""
    config = jnf_shared_cl.with_projectors(config)
    with config.unlocked():
        config.projectors = dict(
            objective="dcca",
            size=1,
            num_correlations=0,
            ridge=1e-3,
            posterior_hidden_sizes=(128, 128),
        )
    return config
