"""JNF on Translated PolyMNIST and an energy, fitted to `jnf.py`'s draws.

    python -m jnf_jax.train --config configs/translated_polymnist/jnf_ebm_after.py \\
        --workdir runs/translated_polymnist/jnf_ebm_after \\
        --config.init.joint=runs/translated_polymnist/jnf/checkpoints/joint

Stage ``prior`` alone; measured are joint draws and the ceiling. With N(0, I) all models
of the authors fail here: is it the prior? Not yet run.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """An energy-based prior for the joint draws of `jnf.py`."""
    return priors.on_checkpoints(jnf.get_config(), "energy")
