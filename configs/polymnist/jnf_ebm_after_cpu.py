"""JNF on PolyMNIST and an energy, fitted to `jnf_cpu.py`'s joint draws.

    python -m jnf_jax.train --config configs/polymnist/jnf_ebm_after_cpu.py \\
        --config.data.backgrounds_dir=DIR \\
        --workdir runs/polymnist/ebm_after_cpu \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

Stage ``prior`` alone, on two CPU cores; measured are joint draws and the ceiling, as
subsets are those of `jnf_cpu.py`. A negative result: at this rate all chains diverge by
step 400 (the committed record, .015, is of a run that went on; now it would end). In
runs that are in no record a rate of 1e-4 did by step 2,450.
"""

import ml_collections

from configs import priors
from configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """An energy-based prior for the joint draws of `jnf_cpu.py`."""
    return priors.on_checkpoints(jnf_cpu.get_config(), "energy")
