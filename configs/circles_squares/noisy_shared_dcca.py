"""JNF-Shared (DCCA) on circles and squares with private waves, for `noisy_jnf.py`.

    python -m jnf_jax.train --config configs/circles_squares/noisy_shared_dcca.py \\
        --workdir runs/noisy/shared_dcca_0.4 --config.data.noise=0.4 \\
        --config.init.joint=runs/noisy/jnf_0.4/checkpoints/joint

One seed: coherence .95 at a noise of 0.45, where `noisy_jnf.py` has .92.
"""

import ml_collections
from jnf_jax.configs.circles_squares import jnf_shared_dcca, noisy_jnf


def get_config() -> ml_collections.ConfigDict:
    """The projectors of `jnf_shared_dcca.py` on the joint VAE of `noisy_jnf.py`."""
    config = jnf_shared_dcca.with_projectors(noisy_jnf.get_config())
    with config.unlocked():
        config.shared.num_steps = 600
    return config
