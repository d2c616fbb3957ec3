"""JNF on PolyMNIST with the authors' settings (their "config2"), for a GPU.

    python -m jnf_jax.train --config polymnist/jnf --workdir runs/polymnist/jnf

Latent 512, Laplace 0.75, Adam 1e-3 on plateau (patience 30 epochs), batch 256, 400 +
200 epochs, two MADE blocks of 3 × 128. Expected, from the authors' stored runs (4
seeds, MultiVae's protocol): coherence .67 / .85 / .90 / .92 from 1 / 2 / 3 / 4
modalities, .05 jointly from N(0, I). Not yet run here. Data: `polymnist_procedural`;
``--config.data.backgrounds_dir=…`` for pictures of your own,
``--config.data.official_dir=…`` for the published set.
"""

import ml_collections

from jnf_jax.configs import base

STEPS_PER_EPOCH = 54_000 // 256


def get_config() -> ml_collections.ConfigDict:
    """The authors' networks and schedule."""
    config = base.get_config()
    config.data = dict(
        name="polymnist",
        placement="auto",
        seed=42,
        num_modalities=5,
        validation_fraction=0.1,
        variant="fixed",
        scale=1.0,
        fresh_epochs=100,
        backgrounds_dir="",
        official_dir="",
        data_dir="",
        cache_dir="",
    )
    config.model = dict(
        compute_dtype="float32",
        latent_dim=512,
        beta=1.0,
        joint_hidden_sizes=(512, 512),
        head_size=0,
        likelihood_rescaling=False,
        networks=dict(
            default=dict(
                kind="conv",
                features=(32, 64, 128),
                kernel_size=3,
                hidden_sizes=(),
                activation="identity",
            )
        ),
        likelihoods=dict(default=dict(name="laplace", scale=0.75, weight=1.0)),
    )
    config.optimizer.schedule = "plateau"
    config.joint = dict(num_steps=400 * STEPS_PER_EPOCH, batch_size=256)
    config.unimodal = dict(num_steps=200 * STEPS_PER_EPOCH, batch_size=256)
    config.lock()
    return config
