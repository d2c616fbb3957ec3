"""JNF on PolyMNIST with an energy-based prior, learnt with `jnf_cpu.py`'s joint VAE.

    python -m jnf_jax.train --config configs/polymnist/jnf_ebm_cpu.py \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/jnf_ebm_cpu

exp(f(z)) N(0, I) as configs/digits/jnf_ebm.py, but for when f learns and by which
chains (`jnf_ebm.py`). All else is `jnf_cpu.py`; on one core a step takes .11 s, and .21
once chains run. Joint coherence .14 (N(0, I) .02; ceiling .52), label entropy 2.03
nats: no run away, but behind what is fitted afterwards to whitened draws (.41). From
1 / 2 / 3 / 4 modalities .60 / .66 / .65 / .64, where `jnf_cpu.py` has .59 / .70 / .71 /
.74.

How it was chosen, one seed each, in no record. Draws of the joint encoder have seven
narrow axes here, of variances from .0046 to .0092, and some as wide as 4.8 (at step
20,000), and unadjusted chains of T steps ε from N(0, I) fail at both ends: no axis gets
narrower than 2 ε whatever f is, and none widens to a variance v in a time T ε much
shorter than v. Either way negatives differ from positives for ever, f grows steeper,
the encoder follows it. With f learning from step 20,000 on, as fast as the VAE, 150 ×
0.004 diverged at step 22,501: too short for the wide axes. 1,000 × 0.004 kept them (at
step 28,000 variances of positives and negatives were 1.48 and 1.45 on average), but
along the narrow ones negatives had .011 to .023 where positives had .0036 to .0059, and
by then f's slope had gone from 10 to 102 nats and the energy gap to 10: stopped. With
the same f, steps of 0.002 have .0055 to .0067 there. This config's run ended with a
slope of 29 nats and a gap of 1; its narrowest axis is about as narrow as its steps
allow.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_cpu, jnf_ebm


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf_cpu.py` with an energy-based prior."""
    return jnf_ebm.with_energy(jnf_cpu.get_config())
