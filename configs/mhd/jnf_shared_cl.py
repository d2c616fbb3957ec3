"""JNF-Shared on MHD, projectors learnt by a contrastive loss, for a GPU.

    python -m jnf_jax.train --config configs/mhd/jnf_shared_cl.py \\
        --config.data.data_dir=DIR --workdir runs/mhd/jnf_shared_cl

NT-Xent, τ = 0.07, bases and embeddings of 16, 100 epochs: the authors' settings; the
batch of 512 is ours. Stage ``joint`` is that of `jnf.py`: ``--config.init.joint=DIR``
reads it from a run of that config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.mhd import jnf
from jnf_jax.configs.polymnist import jnf_shared_cl

STEPS_PER_EPOCH = 45_000 // 512


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf_shared_cl.with_projectors(jnf.get_config())
    config.projectors.update(size=16, base_size=16, temperature=0.07)
    config.shared.num_steps = 100 * STEPS_PER_EPOCH
    return config
