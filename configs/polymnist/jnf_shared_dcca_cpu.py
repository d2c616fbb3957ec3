"""JNF-Shared (DCCA) on PolyMNIST, on two CPU cores, beside `jnf_cpu.py`.

    python -m jnf_jax.train --config configs/polymnist/jnf_shared_dcca_cpu.py \\
        --workdir runs/polymnist/jnf_shared_dcca_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

Stage ``joint`` is that of `jnf_cpu.py`; without ``init.joint`` it is trained here.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_cpu, jnf_shared_dcca


def get_config() -> ml_collections.ConfigDict:
    """The projectors of `jnf_shared_dcca.py`, fewer steps, on `jnf_cpu.py`."""
    config = jnf_shared_dcca.with_projectors(jnf_cpu.get_config())
    config.projectors.posterior_hidden_sizes = (256, 256)
    with config.unlocked():
        config.shared = dict(num_steps=1_500, batch_size=512)
    return config
