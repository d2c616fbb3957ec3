"""JNF on the digits, and a latent diffusion fitted to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_diffusion_after.py \\
        --workdir runs/digits_diffusion_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. All else is configs/digits/jnf.py. Not yet
confirmed.
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
