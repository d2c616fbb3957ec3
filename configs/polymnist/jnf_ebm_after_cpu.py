"""JNF on PolyMNIST and an energy, fitted to `jnf_cpu.py`'s joint draws.

    python -m jnf_jax.train --config configs/polymnist/jnf_ebm_after_cpu.py \\
        --config.data.backgrounds_dir=DIR \\
        --workdir runs/polymnist/ebm_after_cpu \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

Stage ``prior`` alone, on two CPU cores; measured are joint draws and the ceiling, as
subsets are those of `jnf_cpu.py`. Joint coherence .41 after 60 Langevin steps, .47
after 300; N(0, I) .02, the normal with the draws' moments, where the chains start, .11,
ceiling .53. In runs that are in no record steps of 0.08 diverged by step 1,500, and by
step 400 where z was not whitened; a slope of at most 8 gave .13.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """An energy-based prior for the joint draws of `jnf_cpu.py`."""
    return priors.on_checkpoints(jnf_cpu.get_config(), "energy")
