"""JNF-Shared (CL) on circles and squares with private waves, for `noisy_jnf.py`.

    python -m jnf_jax.train --config configs/circles_squares/noisy_shared_cl.py \\
        --workdir runs/noisy/shared_cl_0.4 --config.data.noise=0.4 \\
        --config.init.joint=runs/noisy/jnf_0.4/checkpoints/joint

One seed: coherence .97 at a noise of 0.45, where `noisy_jnf.py` has .92. With three
times the learning rate the contrastive loss never left chance there (coherence .58, at
e8b0ac1, in no record).
"""

import ml_collections
from jnf_jax.configs.circles_squares import jnf_shared_cl, noisy_jnf


def get_config() -> ml_collections.ConfigDict:
    """The projectors of `jnf_shared_cl.py` on the joint VAE of `noisy_jnf.py`."""
    config = jnf_shared_cl.with_projectors(noisy_jnf.get_config())
    with config.unlocked():
        config.shared.num_steps = 1000
        config.shared.learning_rate = 1e-3
    return config
