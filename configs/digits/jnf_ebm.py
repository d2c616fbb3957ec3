"""JNF on the digits with an energy-based prior, learnt with the joint VAE.

    python -m jnf_jax.train --config configs/digits/jnf_ebm.py --workdir runs/digits_ebm

The prior of arXiv 2409.19862 on the first paper's model: exp(f(z)) N(0, I), negatives
by 60 steps of Langevin from N(0, I). The network, steps and step size are those of
arXiv 2006.08205. Its rate of learning is not, for 5,000 updates and not 100,000: f
learns as fast as the VAE, but from step 2,500 on. From the first step on it diverged at
that rate (by step 310: the encoder runs to where f is high before the chains do), and
at a tenth of it f shrank the latent space while it was still forming: joint coherence
.63 with a ceiling of .83 (seed 0). Three seeds have a joint coherence of .72 ± .02
(N(0, I) of configs/digits/jnf.py .52; ceiling .84), and lose .03 given two modalities,
of which `jnf_ebm_reference.py` gets .02 back.
The last parameters are kept: the loss with an unnormalised prior is no bound to select
by. All else is configs/digits/jnf.py.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior on a normal reference."""
    return priors.energy_from(jnf.get_config(), 2_500)
