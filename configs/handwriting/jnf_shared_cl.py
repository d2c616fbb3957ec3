"""JNF-Shared on handwriting, projectors learnt by a contrastive loss, two CPU cores.

    python -m jnf_jax.train --config configs/handwriting/jnf_shared_cl.py \\
        --workdir runs/handwriting/jnf_shared_cl --config.data.data_dir=DIR \\
        --config.init.joint=runs/handwriting/jnf_cpu/checkpoints/joint

NT-Xent over the three pairs, τ = 0.1, bases of 64 and embeddings of 16, which are
ours; nothing was tuned. Stage ``joint`` is that of `jnf_cpu.py`; without
``init.joint`` it is trained here. Not yet run.
"""

import ml_collections
from jnf_jax.configs.handwriting import jnf_cpu
from jnf_jax.configs.polymnist import jnf_shared_cl


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf_cpu.py`."""
    config = jnf_shared_cl.with_projectors(jnf_cpu.get_config())
    config.projectors.update(size=16, posterior_hidden_sizes=(256, 256))
    config.shared.update(num_steps=1_500, batch_size=256)
    return config
