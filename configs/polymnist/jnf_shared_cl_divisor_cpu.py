"""`jnf_shared_cl_cpu.py` with the divisor of `jnf_divisor_cpu.py`.

    python -m jnf_jax.train --config configs/polymnist/jnf_shared_cl_divisor_cpu.py \\
        --workdir runs/polymnist/jnf_shared_cl_divisor_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.shared=runs/polymnist/jnf_shared_cl_cpu/checkpoints/shared \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint \\
        --config.init.unimodal=runs/polymnist/jnf_shared_cl_cpu/checkpoints/unimodal

From 2 / 3 / 4 modalities .80 / .82 / .82 of 1,000 tuples (one seed), where N(0, I) as
divisor gives .57 / .55 / .59, and the normal without the weight .79 / .77 / .77. From
one modality it is .74.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_shared_cl_cpu
from jnf_jax.configs.polymnist.jnf_divisor_cpu import with_fitted_divisor


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL) over a normal, fitted afterwards."""
    return with_fitted_divisor(jnf_shared_cl_cpu.get_config())
