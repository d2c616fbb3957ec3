"""JNF-Shared on the digits, projectors learnt by a contrastive loss.

    python -m jnf_jax.train --config configs/digits/jnf_shared_cl.py \\
        --workdir runs/digits_shared_cl

NT-Xent over all pairs of modalities, τ = 0.1. Stage ``joint`` is that of
configs/digits/jnf.py: ``--config.init.joint=DIR`` reads it from a run of that config.
One core, one seed: coherence .81 / .87 from 1 / 2 modalities, where `jnf.py` has .67 /
.81 on the same joint VAE and the ceiling is .85; held-out log q_j is 7 to 10 nats
worse. For 250 steps the loss stays near chance, 3 log 1023 = 20.8: then it falls.
"""

import ml_collections
from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF-Shared (CL); joint VAE, flows and evaluation of `jnf.py`."""
    config = jnf.get_config()
    config.method = "jnf_shared"
    config.stages = "shared,joint,unimodal"
    with config.unlocked():
        config.projectors = dict(
            objective="nt_xent",
            size=16,
            base_size=64,
            temperature=0.1,
            learns_temperature=False,
            posterior_hidden_sizes=(256, 256),
        )
        config.shared = dict(num_steps=1_500, batch_size=512)
    return config
