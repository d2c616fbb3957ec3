"""JNF with an energy-based prior on the digits, refined by HMC through the decoders.

    python -m jnf_jax.train --config configs/digits/jnf_ebm_mcmc_posterior.py \\
        --workdir runs/digits_ebm_mcmc_posterior

or ``python -m jnf_jax.evaluate`` with this config and the workdir of a run of
configs/digits/jnf_ebm.py. The chains' prior is the energy's density, whose short-run
law may be another: see ``energy_priors`` of the record. log p(x_S, z) misses log Z. One
seed: coherence from one modality rises from .68 to .73, from two from .81 to .84. All
else is configs/digits/jnf_mcmc_posterior.py.
"""

import ml_collections
from jnf_jax.configs.digits import jnf_ebm, jnf_mcmc_posterior


def get_config() -> ml_collections.ConfigDict:
    """The energy's JNF with 50 transitions on the true posterior."""
    return jnf_mcmc_posterior.refined(jnf_ebm.get_config())
