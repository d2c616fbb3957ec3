"""JNF on the digits, and a mixture fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_mixture_after.py \\
        --workdir runs/digits_mixture_after

Fifty normals with diagonal covariances, by gradient ascent on the likelihood. With
``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Three seeds:
joint coherence .71 ± .02 (label entropy 2.22 nats), where N(0, I) has .52 ± .03 on the
same checkpoints and the ceiling is .86 ± .03. On older ones (ceiling .83) it was .70 ±
.02, and not whitened (4645f9d) .77 ± .02; on PolyMNIST whitening helped it.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with a mixture for its joint draws."""
    return priors.fitted_afterwards(jnf.get_config(), "mixture")
