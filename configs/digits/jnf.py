"""JNF on the embedded digits: three colour modalities, no download.

python -m jnf_jax.train --config configs/digits/jnf.py --workdir runs/digits
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 32, three modalities of 16 × 16."""
    config = base.get_config()
    config.data = dict(
        name="digits",
        seed=42,
        num_modalities=3,
        image_size=16,
        repeats=16,
        validation_repeats=8,
        test_repeats=4,
    )
    config.model = dict(
        latent_dim=32,
        beta=1.0,
        joint_hidden_sizes=(256,),
        head_size=64,
        likelihood_rescaling=False,
        networks=dict(
            default=dict(
                kind="conv",
                features=(32, 64),
                kernel_size=4,
                hidden_sizes=(256,),
                activation="sigmoid",
            )
        ),
        likelihoods=dict(default=dict(name="laplace", scale=0.15, weight=1.0)),
    )
    config.optimizer.schedule = "cosine"
    config.joint = dict(num_steps=4_000, batch_size=64)
    config.unimodal = dict(num_steps=2_000, batch_size=64)
    config.evaluation.protocol = "v1-small"
    config.evaluation.classifier = dict(
        num_steps=1_000, batch_size=64, learning_rate=1e-3, schedule="cosine"
    )
    config.lock()
    return config
