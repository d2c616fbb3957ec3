"""JNF-Shared on CUB, projectors learnt by deep CCA, for a GPU.

    python -m jnf_jax.train --config configs/cub/jnf_shared_dcca.py \\
        --config.data.captions_file=FILE --workdir runs/cub/jnf_shared_dcca

Batch 800, rate 1e-4 and ridge 1e-3 are what the authors have on other sets; none of
theirs is known for this one, and 32 dimensions and 80 epochs are as in
`jnf_shared_cl.py`. Stage ``joint`` is that of `jnf.py`: ``--config.init.joint=DIR``
reads it from a run of that config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.cub import jnf
from jnf_jax.configs.polymnist import jnf_shared_dcca

STEPS_PER_EPOCH = 94_300 // 800


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf_shared_dcca.with_projectors(jnf.get_config())
    config.projectors.size = 32
    config.shared.num_steps = 80 * STEPS_PER_EPOCH
    return config
