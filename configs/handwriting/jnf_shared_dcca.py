"""JNF-Shared on handwriting, projectors learnt by deep CCA, two CPU cores.

    python -m jnf_jax.train --config configs/handwriting/jnf_shared_dcca.py \\
        --workdir runs/handwriting/jnf_shared_dcca --config.data.data_dir=DIR \\
        --config.init.joint=runs/handwriting/jnf_cpu/checkpoints/joint

Nine dimensions, for ten classes have nine contrasts; nothing was tuned. Stage
``joint`` is that of `jnf_cpu.py`; without ``init.joint`` it is trained here. Not yet
run.
"""

import ml_collections
from jnf_jax.configs.handwriting import jnf_cpu
from jnf_jax.configs.polymnist import jnf_shared_dcca


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (DCCA); joint VAE, flows and evaluation of `jnf_cpu.py`."""
    config = jnf_shared_dcca.with_projectors(jnf_cpu.get_config())
    config.projectors.update(size=9, posterior_hidden_sizes=(256, 256))
    config.shared.update(num_steps=1_500, batch_size=512, learning_rate=1e-3)
    config.shared.schedule = "cosine"
    return config
