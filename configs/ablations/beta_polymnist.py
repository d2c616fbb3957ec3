"""β of the joint VAE on PolyMNIST within the CPU budget.

    python -m jnf_jax.sweep --config configs/ablations/beta_polymnist.py \\
        --set data.backgrounds_dir=DIR --workdir runs/beta_polymnist

Three runs of configs/polymnist/jnf_cpu.py with a seventh of its updates and the first
500 test tuples, half an hour each on a busy core. One seed: from one / four modalities
.38 / .44 at β = 0.5, .42 / .60 at 1, .38 / .43 at 2.5; ceiling .33, .39, .29; joint
draws from N(0, I) .02 to .04. `jnf_cpu.py` has 1.
"""

import ml_collections
from jnf_jax.configs.ablations import beta


def get_config() -> ml_collections.ConfigDict:
    """Five modalities, one table."""
    config = beta.get_config()
    config.base = "configs/polymnist/jnf_cpu.py"
    config.overrides = (
        ("joint.num_steps", 6_000),
        ("unimodal.num_steps", 1_500),
        ("evaluation.num_tuples", 500),
    )
    sizes = tuple(f"coherence.conditional.{size}" for size in (1, 2, 3, 4))
    config.quantities = (*sizes, *config.quantities[2:])
    return config
