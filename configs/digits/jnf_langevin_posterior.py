"""JNF on the digits, its subset posteriors refined by unadjusted Langevin.

    python -m jnf_jax.train --config configs/digits/jnf_langevin_posterior.py \\
        --workdir runs/digits_langevin_posterior

or ``python -m jnf_jax.evaluate`` with this config and the workdir of a run of
configs/digits/jnf.py. Forty steps through the decoders, as in arXiv 2408.10467 but for
two things: they start at the amortised draws, and s = 0.4 is in units of the amortised
posterior's scales. All else is configs/digits/jnf_mcmc_posterior.py, where every step
is accepted or not. Not yet run.
"""

import ml_collections

from configs.digits import jnf_mcmc_posterior


def get_config() -> ml_collections.ConfigDict:
    """JNF with 40 steps of Langevin on the true posterior."""
    config = jnf_mcmc_posterior.get_config()
    config.refinement.update(
        kernel="ula", num_transitions=40, num_adaptation=0, initial_step_size=0.4
    )
    return config
