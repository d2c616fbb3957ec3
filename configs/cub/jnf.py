"""JNF on CUB pictures and captions with the authors' settings, for a GPU.

    python -m jnf_jax.train --config cub/jnf \\
        --config.data.captions_file=FILE --workdir runs/cub/jnf

Latent 64, β 1, 150 epochs of stage one; pictures Laplace 0.01 with weight 1/384, text
categorical with weight 5, the residual networks of 64, 128 and 256 maps and two
Transformer blocks of width 128, as their example. Ours: the batch, as many epochs of
stage two, a Transformer decoder where theirs is dense, no dropout, a scale exp(½ log
σ²) where theirs is a softplus, padding that counts for nothing, and a split by picture.
There are no labels, so coherence is not measured. The pictures: ``python -m
jnf_jax.data.prepare caltech_birds2011``. Not yet run on the real pictures.
"""

import ml_collections

from jnf_jax.configs import base

STEPS_PER_EPOCH = 94_300 // 128


def get_config() -> ml_collections.ConfigDict:
    """The authors' weights and schedule."""
    config = base.get_config()
    config.data = dict(
        name="cub",
        placement="auto",
        seed=42,
        validation_fraction=0.1,
        test_fraction=0.1,
        num_tokens=32,
        min_count=4,
        captions_file="",
        data_dir="",
        cache_dir="",
    )
    config.model = dict(
        latent_dim=64,
        beta=1.0,
        joint_hidden_sizes=(512, 512),
        head_size=0,
        likelihood_rescaling=False,
        networks=dict(
            image=dict(
                kind="residual",
                features=(64, 128, 256),
                hidden_sizes=(),
                activation="identity",
            ),
            text=dict(
                kind="transformer",
                features=(128, 128),
                hidden_sizes=(),
                activation="identity",
            ),
        ),
        likelihoods=dict(
            image=dict(name="laplace", scale=0.01, weight=1 / 384),
            text=dict(name="categorical", scale=1.0, weight=5.0),
        ),
    )
    config.joint = dict(num_steps=150 * STEPS_PER_EPOCH, batch_size=128)
    config.unimodal = dict(num_steps=150 * STEPS_PER_EPOCH, batch_size=128)
    config.lock()
    return config
