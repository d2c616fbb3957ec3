"""JNF on PolyMNIST with an energy-based prior, learnt with the joint VAE, for a GPU.

    python -m jnf_jax.train --config configs/polymnist/jnf_ebm.py \\
        --workdir runs/polymnist/jnf_ebm

As configs/digits/jnf_ebm.py: exp(f(z)) N(0, I), f learns from half of stage ``joint``
on. The chains are those of `jnf_ebm_cpu.py`. No plateau is looked for, as the loss is
no bound. All else is `jnf.py`, and so are the data. Not yet run.
"""

import ml_collections

from configs import priors
from configs.polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf.py` with an energy-based prior."""
    config = jnf.get_config()
    return priors.energy_from(
        config, config.joint.num_steps // 2, num_steps=1_000, step_size=0.004
    )
