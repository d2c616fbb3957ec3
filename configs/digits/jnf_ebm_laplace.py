"""JNF on the digits with an energy-based prior on a Laplace reference.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_laplace.py \\
        --workdir runs/digits_ebm_laplace

Laplace against Gaussian reference, an open question of arXiv 2409.19862, whose own is
Laplace: here smoothed within 0.1 of its kink, and of scale 1/√2, so that it has about
the variance of N(0, I). On it an unbounded f may be no density; −0.01‖z‖² bounds the
tilt whatever f's slope (0.16 nats at ‖z‖ = 4, where most draws are). All else is
configs/digits/jnf_ebm.py. One seed: joint coherence .72, and .67 / .79 from 1 / 2
modalities, as there within the spread of its seeds.
"""

import ml_collections
from jnf_jax.configs.digits import jnf_ebm


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior on a smoothed Laplace reference."""
    config = jnf_ebm.get_config()
    config.model.prior.update(
        reference="smoothed_laplace", reference_scale=0.5**0.5, confinement=0.01
    )
    return config
