"""0 to 4 MADE blocks on PolyMNIST within the CPU budget, on one joint VAE.

    python -m jnf_jax.sweep --config configs/ablations/made_blocks_polymnist.py \\
        --set data.backgrounds_dir=DIR --workdir runs/made_blocks_polymnist

All else is configs/polymnist/jnf_cpu.py. Not yet run.
"""

import ml_collections
from jnf_jax.configs.ablations import made_blocks


def get_config() -> ml_collections.ConfigDict:
    """Five modalities, one table."""
    config = made_blocks.get_config()
    config.base = "configs/polymnist/jnf_cpu.py"
    sizes = tuple(f"coherence.conditional.{size}" for size in (1, 2, 3, 4))
    log_probs = tuple(f"unimodal_log_prob.m{m}" for m in range(5))
    config.quantities = (*sizes, "coherence.ceiling", *log_probs, "wall_seconds")
    config.plot.y = (sizes[0], sizes[-1], log_probs[0])
    return config
