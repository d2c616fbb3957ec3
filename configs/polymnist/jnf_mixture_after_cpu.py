"""JNF on PolyMNIST and fifty normals, fitted to `jnf_cpu.py`'s joint draws.

    python -m jnf_jax.train --config configs/polymnist/jnf_mixture_after_cpu.py \\
        --config.data.backgrounds_dir=DIR \\
        --workdir runs/polymnist/mixture_after_cpu \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

Stage ``prior`` alone, on two CPU cores; measured are joint draws and the ceiling, as
subsets are those of `jnf_cpu.py`. Joint coherence .22 (N(0, I) .02, ceiling .52
of this run of the joint VAE).
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """A mixture for the joint draws of `jnf_cpu.py`."""
    return priors.on_checkpoints(jnf_cpu.get_config(), "mixture")
