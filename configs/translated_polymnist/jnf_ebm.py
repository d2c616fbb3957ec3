"""JNF on Translated PolyMNIST with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config configs/translated_polymnist/jnf_ebm.py \\
        --workdir runs/translated_polymnist/jnf_ebm

Learnt with the joint VAE, as configs/polymnist/jnf_ebm.py. All else is `jnf.py`. Not
yet run.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_ebm
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf.py` with an energy-based prior."""
    return jnf_ebm.with_energy(jnf.get_config())
