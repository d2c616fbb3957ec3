"""JNF on PolyMNIST with an energy-based prior, learnt with the joint VAE, for a GPU.

    python -m jnf_jax.train --config configs/polymnist/jnf_ebm.py \\
        --workdir runs/polymnist/jnf_ebm

exp(f(z)) N(0, I) as configs/digits/jnf_ebm.py, but that f learns in the last fifth of
stage ``joint`` and five times as fast as the VAE, which hardly moves by then; its
chains take 1,000 steps of 0.002 (why: `jnf_ebm_cpu.py`). No plateau is looked for, as
the loss is no bound. All else is `jnf.py`, and so are the data. Not yet run.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf.py` with an energy-based prior."""
    return with_energy(jnf.get_config())


def with_energy(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A JNF's config with an energy-based prior that is learnt last."""
    start = config.joint.num_steps * 4 // 5
    return priors.energy_from(
        config, start, rate_factor=5.0, num_steps=1_000, step_size=0.002
    )
