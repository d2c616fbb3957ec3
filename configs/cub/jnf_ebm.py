"""JNF on CUB pictures and captions with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config configs/cub/jnf_ebm.py \\
        --config.data.captions_file=FILE --workdir runs/cub/jnf_ebm

Learnt with the joint VAE, as configs/digits/jnf_ebm.py: exp(f(z)) N(0, I), f learns
from half of stage ``joint`` on. All else is `jnf.py`. Not yet run.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.cub import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf.py` with an energy-based prior."""
    config = jnf.get_config()
    return priors.energy_from(config, config.joint.num_steps // 2)
