"""JNF on the digits, its subset posteriors refined by HMC through the decoders.

    python -m jnf_jax.train --config configs/digits/jnf_mcmc_posterior.py \\
        --workdir runs/digits_mcmc_posterior

or ``python -m jnf_jax.evaluate`` with this config and the workdir of a run of
configs/digits/jnf.py, whose checkpoints serve. The record has log p(x_S, z) and
coherence before and after, for every subset: variational against MCMC posterior. The
first 200 test tuples, hence protocol v1-small-custom. One seed: from one modality
log p(x_S, z) rises by 111 nats and coherence from .66 to .73, from two by 146 nats and
from .82 to .83. The chains are not converged. All else is configs/digits/jnf.py.
"""

import ml_collections
from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF with 50 transitions on the true posterior."""
    return refined(jnf.get_config())


def refined(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """``config`` with 50 transitions on the true posterior of 200 test tuples."""
    config.refinement.num_transitions = 50
    config.evaluation.num_tuples = 200
    config.evaluation.batch_size = 200
    return config
