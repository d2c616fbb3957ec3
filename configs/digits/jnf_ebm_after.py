"""JNF on the digits, and an energy fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_after.py \\
        --workdir runs/digits_ebm_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. The last parameters are kept: a contrast is no
bound to select by. Three seeds: joint coherence .83 ± .02 after 60 Langevin steps, .84
± .02 after 300, .67 ± .02 after none, which is a normal with the draws' moments;
N(0, I) has .52 ± .03, the ceiling is .86 ± .03. On older checkpoints (ceiling .83) it
was .82 ± .02, and not whitened, with steps of 0.08 (9783766), .81 ± .01. All else is
configs/digits/jnf.py.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "energy")
