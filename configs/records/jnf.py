"""JNF on a data set of your own: copy this, and say what your modalities are.

    python examples/own_data.py runs/own/data
    python -m jnf_jax.train --config records/jnf \\
        --config.data.records_dir=runs/own/data --workdir runs/own/jnf

As it stands it fits `examples/own_data.py`: a picture, a vector and a sequence of
floats. What has no entry of its own below takes ``default``. A scale is in the units of
the modality: what the model need not explain.
"""

import ml_collections

from jnf_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    """Perceptrons, latent 16, a Normal likelihood."""
    config = base.get_config()
    config.data = dict(name="records", placement="auto", records_dir="", cache_dir="")
    config.model = dict(
        compute_dtype="float32",
        latent_dim=16,
        beta=1.0,
        joint_hidden_sizes=(256,),
        head_size=64,
        likelihood_rescaling=False,
        networks=dict(
            default=dict(kind="mlp", hidden_sizes=(256,), activation="identity"),
            photo=dict(
                kind="conv",
                features=(32, 64),
                kernel_size=4,
                hidden_sizes=(256,),
                activation="sigmoid",
            ),
        ),
        likelihoods=dict(default=dict(name="normal", scale=0.2, weight=1.0)),
    )
    config.flow.max_log_scale = 2.0
    config.optimizer.schedule = "cosine"
    config.joint = dict(num_steps=2_000, batch_size=64)
    config.unimodal = dict(num_steps=1_000, batch_size=64)
    config.evaluation.classifier = dict(num_steps=500, batch_size=64, select="last")
    config.lock()
    return config
