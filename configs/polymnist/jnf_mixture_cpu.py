"""JNF on PolyMNIST with a mixture of 40 normals as prior of `jnf_cpu.py`'s joint VAE.

    python -m jnf_jax.train --config configs/polymnist/jnf_mixture_cpu.py \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/jnf_mixture_cpu

All else is `jnf_cpu.py`, and about as long. A negative result: joint coherence .03
(N(0, I) .02, ceiling .48); a mixture fitted afterwards, which learns its scales too,
has .22 on another run of the joint VAE (ceiling .52).
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """`jnf_cpu.py` with CMVAE's prior."""
    config = jnf_cpu.get_config()
    with config.unlocked():
        config.model.prior = dict(name="mixture", kind="normal", num_components=40)
    return config
