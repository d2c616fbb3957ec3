"""JNF on the digits, and a mixture fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_mixture_after.py \\
        --workdir runs/digits_mixture_after

Fifty normals with diagonal covariances, by gradient ascent on the likelihood. With
``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Three seeds:
joint coherence .70 ± .02 (label entropy 2.22 nats), where N(0, I) has .50 ± .04 on the
same checkpoints and the ceiling is .83. Not whitened it was .77 ± .02 (commit 4645f9d);
on PolyMNIST whitening helps it, from .11 (96ac633) to .18.
"""

import ml_collections

from configs import priors
from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with a mixture for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "mixture")
