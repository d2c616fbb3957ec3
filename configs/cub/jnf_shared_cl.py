"""JNF-Shared on CUB, projectors learnt by a contrastive loss, for a GPU.

    python -m jnf_jax.train --config configs/cub/jnf_shared_cl.py \\
        --config.data.captions_file=FILE --workdir runs/cub/jnf_shared_cl

NT-Xent, bases and embeddings of 32, 80 epochs: the authors' settings; τ = 0.1 is that
of their other sets, the batch of 512 ours. Several captions of a batch may be of one
picture: the loss takes them for strangers. Stage ``joint`` is that of `jnf.py`:
``--config.init.joint=DIR`` reads it from a run of that config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.cub import jnf
from jnf_jax.configs.polymnist import jnf_shared_cl

STEPS_PER_EPOCH = 94_300 // 512


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf_shared_cl.with_projectors(jnf.get_config())
    config.projectors.update(size=32, base_size=32)
    config.shared.num_steps = 80 * STEPS_PER_EPOCH
    return config
