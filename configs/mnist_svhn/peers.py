"""MVAE, MMVAE, mmJSD, MoPoE, MVTCAE on MNIST–SVHN, for a GPU.

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
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.mnist_svhn import jnf

ARGUMENTS = peers.ARGUMENTS

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
    config = peers.of_method(jnf.get_config(), argument, **OWN.get(argument, {}))
    config.model.beta = 0.5 if argument == "mvtcae" else 1.0
    config.joint.num_steps = 200 * jnf.STEPS_PER_EPOCH
    if argument == "mmvae":
        config.data.multiplier = 30
        config.joint.num_steps = 30 * 6 * jnf.STEPS_PER_EPOCH
        config.optimizer.update(optimizer="amsgrad", schedule="constant")
    return config
