"""JNF on the digits, and a latent diffusion fitted to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_diffusion_after.py \\
        --workdir runs/digits_diffusion_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Three seeds:
joint coherence .76 ± .02 (label entropy 2.22 nats), where N(0, I) has .52 ± .03 on the
same checkpoints and the ceiling is .86 ± .03. Learning the whole score instead of what
N(0, I) lacks, on older ones (6b30765, ceiling .83), it was .69 ± .02.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with a diffusion for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "diffusion")
