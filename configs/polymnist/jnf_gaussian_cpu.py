"""JNF on PolyMNIST without flows, on two CPU cores, beside `jnf_cpu.py`.

    python -m jnf_jax.train --config configs/polymnist/jnf_gaussian_cpu.py \\
        --workdir runs/polymnist/jnf_gaussian_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

No MADE block: unimodal posteriors are Gaussians. Stage ``joint`` is that of
`jnf_cpu.py`; without ``init.joint`` it is trained here. One seed, 1,000 test tuples:
coherence .51 / .76 / .78 / .85 from 1 / 2 / 3 / 4 modalities, ceiling .52.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """`jnf_cpu.py` with zero blocks."""
    config = jnf_cpu.get_config()
    config.flow.num_blocks = 0
    return config
