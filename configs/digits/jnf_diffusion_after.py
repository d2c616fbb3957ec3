"""JNF on the digits, and a latent diffusion fitted to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_diffusion_after.py \\
        --workdir runs/digits_diffusion_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Two CPU
cores, one seed: joint coherence 0.75 (label entropy 2.24 nats),
where N(0, I) has 0.54 on the same checkpoint and the ceiling is 0.87.
"""

import ml_collections

from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with a diffusion for its joint draws."""
    config = jnf.get_config()
    config.stages = "joint,unimodal,prior"
    with config.unlocked():
        config.fitted_prior = dict(
            name="diffusion", hidden_size=256, num_layers=3, num_steps=250
        )
        config.prior = dict(num_steps=4_000, batch_size=256)
    return config
