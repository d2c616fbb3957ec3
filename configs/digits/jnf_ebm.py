"""JNF on the digits with an energy-based prior, learnt with the joint VAE.

    python -m jnf_jax.train --config configs/digits/jnf_ebm.py --workdir runs/digits_ebm

The prior of arXiv 2409.19862 on the first paper's model: exp(f(z)) N(0, I), negatives
by 60 steps of Langevin from N(0, I). The network, steps and step size are those of
arXiv 2006.08205; the learning rate of f is not: 1e-4 instead of 2e-5, because there are
5,000 updates and not 100,000. The last parameters are kept: the loss with an
unnormalised prior is no bound to select by. All else is configs/digits/jnf.py. Not yet
confirmed.
"""

import ml_collections

from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior on a normal reference."""
    config = jnf.get_config()
    with config.unlocked():
        config.model.prior = dict(
            name="energy",
            reference="normal",
            reference_scale=1.0,
            hidden_sizes=(200, 200),
            num_steps=60,
            step_size=0.08,
            confinement=0.0,
        )
        config.joint.update(prior_rate_factor=0.1, select="last")
    return config
