"""JNF on Translated PolyMNIST with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config translated_polymnist/jnf_ebm \\
        --workdir runs/translated_polymnist/jnf_ebm

Learnt with the joint VAE, as polymnist/jnf_ebm. All else is translated_polymnist/jnf.
Not yet run.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf_ebm
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of translated_polymnist/jnf with an energy-based prior."""
    return jnf_ebm.with_energy(jnf.get_config())
