"""JNF on the embedded digits, with one flow for every subset; no download.

    python -m jnf_jax.train --config digits/jnf --workdir runs/digits

The joint VAE is that of digits/jnf_paper: ``--config.init.joint=DIR`` reads it from a
run of that. One conditional flow for every subset takes the place of unimodal flows and
chains.
"""

import ml_collections

from jnf_jax.configs.digits import jnf_paper


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, amortised subsets."""
    config = jnf_paper.get_config()
    with config.unlocked():
        del config.unimodal
        config.stages = "joint,subsets"
        config.subset_posterior.name = "amortised"
        config.flow.update(num_blocks=3, context_size=128, num_posterior_samples=2)
        config.subsets = dict(
            num_steps=30_000,
            batch_size=256,
            learning_rate=4e-3,
            warmup_steps=200,
            gradient_clip=50.0,
            ema_decay=0.999,
            select="last",
        )
    return config
