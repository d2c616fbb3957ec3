"""JNF on the digits, and a mixture fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_mixture_after.py \\
        --workdir runs/digits_mixture_after

Fifty normals with diagonal covariances, by gradient ascent on the likelihood. With
``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Two CPU
cores, three seeds: joint coherence 0.770 ± 0.016 (label entropy 2.23 nats), where
N(0, I) has 0.500 ± 0.037 on the same checkpoints and the ceiling is 0.834 ± 0.007.
"""

import ml_collections

from configs import priors
from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with a mixture for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "mixture")
