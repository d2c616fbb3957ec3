"""JNF-Shared on the digits, projectors learnt by deep CCA.

    python -m jnf_jax.train --config configs/digits/jnf_shared_dcca.py \\
        --workdir runs/digits_shared_dcca

Nine dimensions, for ten classes have nine contrasts. Stage ``joint`` is that of
configs/digits/jnf.py: ``--config.init.joint=DIR`` reads it from a run of that config.
One core, one seed: coherence .80 / .88 from 1 / 2 modalities, where `jnf.py` has .67 /
.81 on the same joint VAE, ceiling .85; held-out log q_j is 7 to 10 nats worse.
"""

import ml_collections
from jnf_jax.configs.digits import jnf_shared_cl


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); all but the projectors as in `jnf_shared_cl.py`."""
    config = jnf_shared_cl.get_config()
    with config.unlocked():
        config.projectors = dict(
            objective="dcca",
            size=9,
            num_correlations=0,
            ridge=1e-3,
            posterior_hidden_sizes=(256, 256),
        )
    return config
