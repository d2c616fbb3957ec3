"""JNF on CUB pictures and captions with an energy-based prior, for a GPU.

    python -m jnf_jax.train --config cub/jnf_ebm \\
        --config.data.captions_file=FILE --workdir runs/cub/jnf_ebm

Learnt with the joint VAE, as digits/jnf_ebm: exp(f(z)) N(0, I), f learns from half of
stage ``joint`` on. All else is cub/jnf. Not yet run.
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.cub import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of cub/jnf with an energy-based prior."""
    config = jnf.get_config()
    return priors.energy_from(config, config.joint.num_steps // 2)
