"""JNF on PolyMNIST and a Gaussian mixture by EM, fitted to `jnf_cpu.py`'s joint draws.

    python -m jnf_jax.train --config configs/polymnist/jnf_gmm_after_cpu.py \\
        --config.data.backgrounds_dir=DIR \\
        --workdir runs/polymnist/gmm_after_cpu \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

Stage ``prior`` alone, on two CPU cores; measured are joint draws and the ceiling, as
subsets are those of `jnf_cpu.py`. Joint coherence .44 (N(0, I) .02, ceiling .53
of this run of the joint VAE); the energy has .47 after 300 steps, at less entropy.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """Full covariances by EM for the joint draws of `jnf_cpu.py`."""
    return priors.on_checkpoints(jnf_cpu.get_config(), "gmm")
