"""JNF on the digits, and a diffusion decoder on its frozen joint VAE.

    python -m jnf_jax.train --config configs/digits/jnf_diffusion_decoder.py \\
        --workdir runs/digits_diffusion_decoder

With ``--config.stages=diffusion_decoder --config.init.joint=DIR
--config.init.unimodal=DIR`` it is trained on another run's checkpoints. All else
is configs/digits/jnf.py.

A negative result so far, one seed: the Fréchet distance of the classifier's features
falls from 41 to 38 given one modality and from 40 to 28 given two, but coherence does
too, from .67 to .58 and from .81 to .72. After 12,000 steps (the record has the flags)
the distances are 26 and 17, and coherence is .59 and .72.
"""

import ml_collections

from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF whose pictures are drawn given the decoder's means."""
    config = jnf.get_config()
    config.stages = "joint,unimodal,diffusion_decoder"
    with config.unlocked():
        config.evaluation.measures = "diffusion_decoder"
        config.init.diffusion_decoder = ""
        config.denoiser = dict(
            features=(16, 32, 64),
            num_blocks=1,
            residual_scale=0.2,
            beta_min=0.1,
            beta_max=20.0,
            num_steps=20,
            temperature=0.4,
        )
        config.diffusion_decoder = dict(
            num_steps=20_000,
            batch_size=32,
            learning_rate=2e-3,
            schedule="cosine",
            warmup_steps=100,
            ema_decay=0.999,
            evaluate_every=2_000,
            select="last",
        )
    return config
