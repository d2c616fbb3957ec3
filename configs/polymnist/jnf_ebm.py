"""JNF on PolyMNIST with an energy-based prior, learnt with the joint VAE.

    python -m jnf_jax.train --config polymnist/jnf_ebm --workdir runs/polymnist/jnf_ebm

For a GPU. exp(f(z)) N(0, I) as digits/jnf_ebm, but that f learns in the last fifth of
stage ``joint`` and five times as fast as the VAE, which hardly moves by then; its
chains take 1,000 steps of 0.002. No plateau is looked for, as the loss is no bound. All
else is polymnist/jnf, and so are the data. Not yet run.

``:cpu`` is the same on the joint VAE of polymnist/jnf_paper_cpu:

    python -m jnf_jax.train --config polymnist/jnf_ebm:cpu \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/jnf_ebm_cpu

On one core a step takes .11 s, and .21 once chains run. Joint coherence .14 (N(0, I)
.02; ceiling .52), label entropy 2.03 nats: no run away, but behind what is fitted
afterwards to whitened draws (.41). From 1 / 2 / 3 / 4 modalities .60 / .66 / .65 / .64,
where polymnist/jnf_paper_cpu has .59 / .70 / .71 / .74.

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

from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf, jnf_paper_cpu

ARGUMENTS = {"cpu": "on one or two CPU cores"}


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """The joint VAE of polymnist/jnf, or of polymnist/jnf_paper_cpu, with an energy."""
    return with_energy((jnf_paper_cpu if argument == "cpu" else jnf).get_config())


def with_energy(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A JNF's config with an energy-based prior that is learnt last."""
    start = config.joint.num_steps * 4 // 5
    return priors.energy_from(
        config, start, rate_factor=5.0, num_steps=1_000, step_size=0.002
    )
