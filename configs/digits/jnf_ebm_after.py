"""JNF on the digits, and an energy fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_after.py \\
        --workdir runs/digits_ebm_after

With ``--config.stages=prior --config.init.joint=DIR --config.init.unimodal=DIR`` it is
fitted on another run's checkpoints. The last parameters are kept: a contrast is no
bound to select by. The learning rate was chosen on seed 0 with 2,000 steps (joint
coherence of 4,000 draws): 1e-4 .72, 1e-3 .80, 3e-3 .85. All else is
configs/digits/jnf.py.
"""

import ml_collections

from configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with an energy-based prior for its joint draws."""
    config = jnf.get_config()
    config.stages = "joint,unimodal,prior"
    with config.unlocked():
        config.fitted_prior = dict(
            name="energy",
            hidden_sizes=(200, 200),
            num_steps=60,
            step_size=0.08,
            draw_steps=-1,
            draw_step_size=0.0,
        )
        config.prior = dict(
            num_steps=4_000, batch_size=256, learning_rate=3e-3, select="last"
        )
    return config
