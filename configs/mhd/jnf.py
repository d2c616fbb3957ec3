"""JNF on MHD (published tensors) with the authors' settings, for a GPU.

    python -m jnf_jax.train --config mhd/jnf \\
        --config.data.data_dir=DIR --workdir runs/mhd/jnf

Latent 64, Normal of scale 1, likelihood rescaling, β 1, 200 epochs of stage one; rate
and batch of 64 from their earlier runs. Ours: the networks, as many epochs of stage
two, and an epoch of 45,000 tuples, for the size of the files is not known to us. The
files: see `jnf_jax/data/mhd.py`. Not yet run.
"""

import ml_collections

from jnf_jax.configs import base

STEPS_PER_EPOCH = 45_000 // 64


def get_config() -> ml_collections.ConfigDict:
    """The authors' weights and schedule; convolutions; a perceptron for the pen."""
    config = base.get_config()
    config.data = dict(
        name="mhd",
        placement="auto",
        seed=42,
        validation_fraction=0.1,
        data_dir="",
        cache_dir="",
    )
    conv = dict(
        kind="conv",
        features=(32, 64),
        kernel_size=4,
        hidden_sizes=(256,),
        activation="sigmoid",
    )
    config.model = dict(
        compute_dtype="float32",
        latent_dim=64,
        beta=1.0,
        joint_hidden_sizes=(512, 512),
        head_size=0,
        likelihood_rescaling=True,
        networks=dict(
            audio=conv,
            image=conv,
            trajectory=dict(kind="mlp", hidden_sizes=(512, 512), activation="sigmoid"),
        ),
        likelihoods=dict(default=dict(name="normal", scale=1.0, weight=1.0)),
    )
    config.optimizer.schedule = "plateau"
    config.joint = dict(num_steps=200 * STEPS_PER_EPOCH, batch_size=64)
    config.unimodal = dict(num_steps=200 * STEPS_PER_EPOCH, batch_size=64)
    config.lock()
    return config
