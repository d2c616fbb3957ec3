"""JNF without a flow: Gaussian posteriors against the same joint encoder as `jnf.py`.

    python -m jnf_jax.train --config configs/circles_squares/jnf_gaussian.py \\
        --workdir runs/toy/jnf_gaussian \\
        --config.init.joint=runs/toy/jnf/checkpoints/joint

log q_m(z|x_m) can be compared only under one joint encoder: hence ``init.joint``.
"""

import ml_collections
from jnf_jax.configs.circles_squares import jnf


def get_config() -> ml_collections.ConfigDict:
    """``num_blocks = 0``; all else as in `jnf.py`."""
    config = jnf.get_config()
    config.flow.num_blocks = 0
    return config
