"""JNF-Shared on MHD, projectors learnt by deep CCA, for a GPU.

    python -m jnf_jax.train --config configs/mhd/jnf_shared_dcca.py \\
        --config.data.data_dir=DIR --workdir runs/mhd/jnf_shared_dcca

Twenty dimensions, batch 800, 100 epochs: the authors' settings; the rate of 1e-4 and
the ridge of 1e-3 are those of their PolyMNIST. Stage ``joint`` is that of `jnf.py`:
``--config.init.joint=DIR`` reads it from a run of that config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.mhd import jnf
from jnf_jax.configs.polymnist import jnf_shared_dcca

STEPS_PER_EPOCH = 45_000 // 800


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf_shared_dcca.with_projectors(jnf.get_config())
    config.shared.num_steps = 100 * STEPS_PER_EPOCH
    return config
