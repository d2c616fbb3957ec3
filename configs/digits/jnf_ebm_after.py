"""JNF on the digits, and an energy fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_after.py \\
        --workdir runs/digits_ebm_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. The last parameters are kept: a contrast is no
bound to select by. The learning rate was chosen on seed 0 with 2,000 steps (joint
coherence of 4,000 draws): 1e-4 .72, 1e-3 .80, 3e-3 .85. All else is
configs/digits/jnf.py.
"""

import ml_collections

from configs import priors
from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "energy")
