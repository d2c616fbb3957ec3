"""JNF on PolyMNIST, and a diffusion decoder on its frozen joint VAE, for a GPU.

    python -m jnf_jax.train --config polymnist/jnf_diffusion_decoder \\
        --workdir runs/polymnist/jnf_diffusion_decoder

With ``--config.stages=diffusion_decoder --config.init.joint=DIR
--config.init.unimodal=DIR`` it is trained on the checkpoints of a run of polymnist/jnf,
whose settings all else has. Not yet run.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf

STEPS_PER_EPOCH = 54_000 // 256


def get_config() -> ml_collections.ConfigDict:
    """JNF of polymnist/jnf whose pictures are drawn given the decoder's means."""
    config = jnf.get_config()
    config.stages = "joint,unimodal,diffusion_decoder"
    with config.unlocked():
        config.evaluation.measures = "diffusion_decoder"
        config.init.diffusion_decoder = ""
        config.denoiser = dict(
            features=(64, 128, 256),
            num_blocks=2,
            residual_scale=0.25,
            beta_min=0.1,
            beta_max=20.0,
            num_steps=30,
            temperature=1.0,
        )
        config.diffusion_decoder = dict(
            num_steps=100 * STEPS_PER_EPOCH,
            batch_size=256,
            learning_rate=3e-4,
            schedule="cosine",
            warmup_steps=500,
            ema_decay=0.999,
            select="last",
        )
    return config
