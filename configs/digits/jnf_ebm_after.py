"""JNF on the digits, and an energy fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_after.py \\
        --workdir runs/digits_ebm_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. The last parameters are kept: a contrast is no
bound to select by. On seed 0 with 2,000 steps a rate of 1e-4 gave .72, 1e-3 .80 and
3e-3 .85 (joint coherence of 4,000 draws; these runs are in no record), but 3e-3
diverges on all of three seeds before step 4,000: f's slope outruns the chains' step,
and they stay where they are. With 1e-3 and 4,000 steps three seeds have .81 ± .01 after
60 Langevin steps, .83 ± .01 after 300. All else is configs/digits/jnf.py.
"""

import ml_collections

from configs import priors
from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "energy")
