"""JNF on PolyMNIST without flows, on two CPU cores, beside `jnf_cpu.py`.

    python -m jnf_jax.train --config configs/polymnist/jnf_gaussian_cpu.py \\
        --workdir runs/polymnist/jnf_gaussian_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

No MADE block: unimodal posteriors are Gaussians. Stage ``joint`` is that of
`jnf_cpu.py`; without ``init.joint`` it is trained here. Not yet run.
"""

import ml_collections

from configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """`jnf_cpu.py` with zero blocks."""
    config = jnf_cpu.get_config()
    config.flow.num_blocks = 0
    return config
