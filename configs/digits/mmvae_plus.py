"""MMVAE+ on the digits: a mixture of experts with shared and private latents.

    python -m jnf_jax.train --config digits/mmvae_plus --workdir runs/digits_mmvae_plus

Data, networks, likelihood and steps of digits/jnf_paper; every step runs each decoder
for the draws of all three experts. Scales are exp(½ ℓ) and not the published D
softmax(ℓ), which average to one: after 350 steps (one seed, side by side) the loss was
577 nats against 717. Coherence (one seed) is .74 / .74 from 1 / 2 modalities, .39
jointly from Laplace(0, 1), ceiling .69, where digits/jnf_paper has .66 / .81, .52 and
.86. It does not rise with the number given: one expert is drawn, whatever else is
known.

``:ebm`` is the prior of arXiv 2409.19862 on the family of models that it is believed to
build on: exp(f(z) − 0.01 ‖z‖²) Laplace(0, 1) for the shared latent, where the
confinement keeps the tilt integrable; positives are draws of every expert, negatives 60
steps of Langevin from the reference. f starts to learn at step 2,500, and the last
parameters are kept, as in digits/jnf_ebm and for its reasons. One seed: coherence .49
jointly, .77 / .76 from 1 / 2 modalities, ceiling .73.
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.digits import jnf_paper

ARGUMENTS = {"ebm": "an energy-based prior of the shared latent"}


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """MMVAE+, 16 shared and 8 private dimensions."""
    config = jnf_paper.get_config()
    config.unlock()
    config.method = "mmvae_plus"
    config.stages = "joint"
    config.experts = dict(
        private_dim=8, family="laplace", scale="exp", num_importance_samples=1
    )
    config.model.prior = dict(name="laplace")
    del config.flow, config.sampler, config.unimodal
    config.lock()
    if argument == "ebm":
        config = priors.energy_from(
            config, 2_500, reference="laplace", confinement=0.01
        )
    return config
