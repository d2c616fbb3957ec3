"""JNF on Translated PolyMNIST with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config configs/translated_polymnist/jnf_ebm.py \\
        --workdir runs/translated_polymnist/jnf_ebm

Learnt with the joint VAE, as configs/digits/jnf_ebm.py: exp(f(z)) N(0, I), f learns
from half of stage ``joint`` on, and no plateau is looked for; the chains are those of
configs/polymnist/jnf_ebm_cpu.py. All else is `jnf.py`. Not yet run.
"""

import ml_collections

from configs import priors
from configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf.py` with an energy-based prior."""
    config = jnf.get_config()
    return priors.energy_from(
        config, config.joint.num_steps // 2, num_steps=1_000, step_size=0.004
    )
