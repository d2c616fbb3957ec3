"""MVAE, MMVAE, mmJSD, MoPoE, MVTCAE and MLD on MNIST–SVHN, for a GPU.

    python -m jnf_jax.train --config mnist_svhn/peers:mmvae \\
        --workdir runs/mnist_svhn/mmvae

Networks, Laplace 0.75 and likelihood rescaling of mnist_svhn/jnf, latent 20; five
pairings of each image and 200 epochs, as JNF's two stages have together, but for mmvae.
Not yet run.

- mvae: nobody's settings are known to us; β = 1. Of two modalities every subset is
  trained on already, so no random one is drawn.
- mmvae: the settings of the code released with arXiv 1911.03393: 30 pairings, 30
  epochs, batch 128, K = 30, DReG as published, Laplace experts with softmax scales,
  learnt prior, Adam with amsgrad 1e-3. Coherence .86 / .69 / .42 (the third jointly) by
  the README of MultiVae.
- mmjsd: nobody's settings are known to us; β = 1.
- mopoe: β = 1, as the authors of arXiv 2502.03952.
- mvtcae: α = 0.9, β = 0.5, as these.
- mld: codes of 16 and 64 numbers and a subset given in half of the rows, as the code of
  arXiv 2306.04445; its epochs, rate, network and autoencoders are not known to us: 150
  epochs of either, as it trains what it compares with, the rate of its PolyMNIST, 512
  units. The autoencoders have neither a β nor, each on its own, rescaled likelihoods.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.mnist_svhn import jnf

ARGUMENTS = peers.ARGUMENTS | dict(mld="a diffusion of the codes of autoencoders")

OWN = dict(
    mvae=dict(num_subsets=0),
    mmvae=dict(
        family="laplace",
        scale="softmax",
        num_importance_samples=30,
        bound="looser",
        gradient="dreg_published",
    ),
    mvtcae=dict(alpha=0.9),
)


def get_config(argument: str) -> ml_collections.ConfigDict:
    """The method of that name."""
    if argument == "mld":
        return _mld()
    config = peers.of_method(jnf.get_config(), argument, **OWN.get(argument, {}))
    config.model.beta = 0.5 if argument == "mvtcae" else 1.0
    config.joint.num_steps = 200 * jnf.STEPS_PER_EPOCH
    if argument == "mmvae":
        config.data.multiplier = 30
        config.joint.num_steps = 30 * 6 * jnf.STEPS_PER_EPOCH
        config.optimizer.update(optimizer="amsgrad", schedule="constant")
    return config


def _mld() -> ml_collections.ConfigDict:
    diffusion = dict(num_steps=150 * jnf.STEPS_PER_EPOCH, batch_size=128)
    config = peers.latent_diffusion(
        jnf.get_config(),
        diffusion | peers.AS_PUBLISHED,
        latent_dims=(16, 64),
        conditioning_probability=0.5,
        weighting="noise",
        hidden_size=512,
    )
    config.model.likelihood_rescaling = False
    config.autoencoders.num_steps = 150 * jnf.STEPS_PER_EPOCH
    return config
