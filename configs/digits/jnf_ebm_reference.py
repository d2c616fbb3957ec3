"""As `jnf_ebm.py`, but products of experts are divided by p_0, not by exp(f) p_0.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_reference.py \\
        --workdir runs/digits_ebm_reference \\
        --config.init.joint=runs/digits_ebm/checkpoints/joint \\
        --config.init.unimodal=runs/digits_ebm/checkpoints/unimodal

What f has learnt is the law of a short run, which exp(f) p_0 need not have. Nothing is
trained: it is the run of `jnf_ebm.py` that is evaluated. Three seeds: coherence given
two modalities .793, where dividing by exp(f) p_0 gives .775, and configs/digits/jnf.py
with N(0, I) has .806.
"""

import ml_collections
from jnf_jax.configs.digits import jnf_ebm


def get_config() -> ml_collections.ConfigDict:
    """`jnf_ebm.py` with the reference as divisor."""
    config = jnf_ebm.get_config()
    config.sampler.divisor = "reference"
    return config
