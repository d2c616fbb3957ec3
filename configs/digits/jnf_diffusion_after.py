"""JNF on the digits, and a latent diffusion fitted to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_diffusion_after.py \\
        --workdir runs/digits_diffusion_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Three seeds:
joint coherence .69 ± .02 (label entropy 2.22 nats), where N(0, I) has .50 ± .04 on the
same checkpoints and the ceiling is .83. Not whitened (30c1cf2): .73 ± .02. They learnt
the whole score; since be68dac it is learnt what N(0, I) lacks: .77 against .71 on one
other run of stage one (seed 0, ceiling .85, in no record).
"""

import ml_collections

from configs import priors
from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with a diffusion for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "diffusion")
