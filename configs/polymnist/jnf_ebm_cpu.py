"""JNF on PolyMNIST with an energy-based prior, learnt with `jnf_cpu.py`'s joint VAE.

    python -m jnf_jax.train --config configs/polymnist/jnf_ebm_cpu.py \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/jnf_ebm_cpu

As configs/digits/jnf_ebm.py: exp(f(z)) N(0, I), f learns from half of stage ``joint``
on. Chains take 1,000 steps of 0.004, as the aggregate posterior of `jnf_cpu.py` has
axes of variance 0.0045, too narrow for longer ones. On its draws, not whitened, 2,000
updates with 60 steps of 0.004 gave a joint coherence of .16, drawn with 300 .38; steps
of 0.02 diverged, or with f's slope at most 30 gave .10 (in no record). All else is
`jnf_cpu.py`; on one core a step takes .35 s, of which the chains are about .15.

With 150 steps it diverged at step 22,501 (one seed, in no record): a negative result.
Chains of 150 × 0.004 last 0.6, where axes of variance 4.5 need some times 4.5.
So negatives lagged behind, f grew steeper towards the wider positives (a gradient of 9
nats at first, 33 at last), the encoder followed it outwards, and neither stopped:
variances of positives and negatives were 1.09 and .97 at step 20,100, 4.3 and 2.8 at
step 22,450. Continued from step 20,000 for 1,250 steps (by a script, in no record),
1,000 steps a chain kept both below 1.25 and the KL at 175 nats, where it had fallen to
128. Not yet run to the end.
"""

import ml_collections

from configs import priors
from configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """The joint VAE of `jnf_cpu.py` with an energy-based prior."""
    config = jnf_cpu.get_config()
    return priors.energy_from(
        config, config.joint.num_steps // 2, num_steps=1_000, step_size=0.004
    )
