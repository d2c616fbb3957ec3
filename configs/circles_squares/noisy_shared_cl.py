"""JNF-Shared (CL) on circles and squares with private waves, for `noisy_jnf.py`.

    python -m jnf_jax.train --config configs/circles_squares/noisy_shared_cl.py \\
        --workdir runs/noisy/shared_cl_0.4 --config.data.noise=0.4 \\
        --config.init.joint=runs/noisy/jnf_0.4/checkpoints/joint

Not yet run.
"""

import ml_collections

from configs.circles_squares import jnf_shared_cl, noisy_jnf


def get_config() -> ml_collections.ConfigDict:
    """The projectors of `jnf_shared_cl.py` on the joint VAE of `noisy_jnf.py`."""
    config = jnf_shared_cl.with_projectors(noisy_jnf.get_config())
    with config.unlocked():
        config.shared.num_steps = 1000
        config.shared.learning_rate = 1e-3
    return config
