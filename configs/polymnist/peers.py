"""MVAE, MMVAE, mmJSD, MoPoE, MVTCAE on PolyMNIST, as MultiVae's authors ran them.

    python -m jnf_jax.train --config polymnist/peers:mvtcae \\
        --config.data.official_dir=DIR --workdir runs/polymnist/mvtcae

Latent 512, the networks and Laplace 0.75 of polymnist/jnf, Adam 1e-3 on plateau, batch
256, for an accelerator. Expected from 1 / 2 / 3 / 4 modalities, from the authors'
stored runs (4 seeds, MultiVae's protocol). Not yet run.

- mvae: 500 epochs at 5e-4, β = 2.5; .21 / .32 / .42 / .51. How many subsets were drawn
  is not known to us: one here.
- mmvae: 100 epochs, K = 10, Laplace experts and learnt prior, DReG as published;
  .80 / .80 / .80 / .80.
- mmjsd: no run is known to us; 400 epochs, β = 2.5 as mopoe.
- mopoe: 400 epochs, β = 2.5; .61 / .75 / .80 / .83.
- mvtcae: 400 epochs, β = 2.5, α = 5/6; .54 / .71 / .79 / .83.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.polymnist import jnf

ARGUMENTS = peers.ARGUMENTS

EPOCHS = dict(mvae=500, mmvae=100, mmjsd=400, mopoe=400, mvtcae=400)

OWN = dict(
    mvae=dict(num_subsets=1),
    mmvae=dict(
        family="laplace",
        scale="softmax",
        num_importance_samples=10,
        bound="looser",
        gradient="dreg_published",
    ),
    mvtcae=dict(alpha=5 / 6),
)


def get_config(argument: str) -> ml_collections.ConfigDict:
    """The method of that name."""
    config = peers.of_method(jnf.get_config(), argument, **OWN.get(argument, {}))
    config.joint.num_steps = EPOCHS[argument] * jnf.STEPS_PER_EPOCH
    config.model.beta = 1.0 if argument == "mmvae" else 2.5
    if argument == "mvae":
        config.optimizer.learning_rate = 5e-4
    return config
