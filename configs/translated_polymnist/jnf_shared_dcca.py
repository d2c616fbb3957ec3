"""JNF-Shared on Translated PolyMNIST, projectors learnt by deep CCA, for a GPU.

    python -m jnf_jax.train --config configs/translated_polymnist/jnf_shared_dcca.py \\
        --workdir runs/translated_polymnist/jnf_shared_dcca

Twenty dimensions, batch 800, 200 epochs at 1e-4, ridge 1e-3: what the authors have on
PolyMNIST; none of theirs is known for this set. Stage ``joint`` is that of `jnf.py`:
``--config.init.joint=DIR`` reads it from a run of that config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_shared_dcca
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); joint VAE, flows and evaluation of `jnf.py`."""
    return jnf_shared_dcca.with_projectors(jnf.get_config())
