"""JNF-Shared on Translated PolyMNIST, projectors learnt by contrast, for a GPU.

    python -m jnf_jax.train --config configs/translated_polymnist/jnf_shared_cl.py \\
        --workdir runs/translated_polymnist/jnf_shared_cl

NT-Xent over the ten pairs, τ = 0.1, bases of 64 and embeddings of 10, 80 epochs: the
authors' settings; the batch of 512 is ours. Stage ``joint`` is that of `jnf.py`:
``--config.init.joint=DIR`` reads it from a run of that config. Not yet run.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_shared_cl
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf.py`."""
    return jnf_shared_cl.with_projectors(jnf.get_config())
