"""Pixels, contrastive projectors or DCCA on PolyMNIST within the CPU budget.

    python -m jnf_jax.sweep --config configs/ablations/projectors_polymnist.py \\
        --set data.backgrounds_dir=DIR --workdir runs/projectors_polymnist

`jnf_cpu.py` and its two JNF-Shared siblings, as they stand, on one joint VAE. Not yet
run.
"""

import ml_collections
from jnf_jax.configs.ablations import projectors


def get_config() -> ml_collections.ConfigDict:
    """Five modalities; one table."""
    config = projectors.get_config()
    config.base = "configs/polymnist/{projectors}.py"
    names = ("jnf_cpu", "jnf_shared_cl_cpu", "jnf_shared_dcca_cpu")
    config.axes = (("projectors", names),)
    sizes = tuple(f"coherence.conditional.{size}" for size in (1, 2, 3, 4))
    config.quantities = (*sizes, "coherence.ceiling", "wall_seconds")
    return config
