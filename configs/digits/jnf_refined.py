"""JNF on the digits, its subset posteriors refined by chains through the decoders.

    python -m jnf_jax.evaluate --config digits/jnf_refined:hmc --workdir runs/digits

The workdir is that of a run of digits/jnf_paper (of digits/jnf_ebm for ``:ebm``), whose
checkpoints serve; a new one is trained by

    python -m jnf_jax.train --config digits/jnf_refined:hmc \\
        --workdir runs/digits_mcmc_posterior

The record has log p(x_S, z) and coherence before and after, for every subset:
variational against MCMC posterior. The first 200 test tuples, hence protocol
v1-small-custom. All else is digits/jnf_paper. The chains are not converged. One seed
each:

- hmc: 50 transitions. From one modality log p(x_S, z) rises by 111 nats and coherence
  from .66 to .73, from two by 146 nats and from .82 to .83.
- langevin: 250 steps of s = 0.05, none of them rejected. From one modality log p(x_S,
  z) rises by 98 nats and coherence from .67 to .73, from two by 135 nats and from .82
  to .85; from all three by 36 nats, and the ceiling stays at .89. It is the unadjusted
  Langevin of arXiv 2408.10467 but for three things: it starts at the amortised draws, s
  is in units of the amortised posterior's scales, and 250 steps of s = 0.05 stand for
  forty of 0.4. Those diverged, in 47 to 100 % of the chains given one or two
  modalities: to judge by the step that HMC adapts to (0.04), the true posterior has
  axes some twenty times narrower than the amortised one. Given all three they did not,
  as there the amortised scales are right (seed 0, in no record).
- ebm: HMC on the JNF of digits/jnf_ebm. The chains' prior is the energy's density,
  whose short-run law may be another: see ``energy_priors`` of the record. log p(x_S, z)
  misses log Z. Coherence from one modality rises from .68 to .73, from two from .81 to
  .84.
"""

import ml_collections

from jnf_jax.configs.digits import jnf_ebm, jnf_paper

ARGUMENTS = {
    "hmc": "50 transitions of HMC",
    "langevin": "250 steps of unadjusted Langevin",
    "ebm": "50 transitions of HMC, an energy-based prior",
}


def get_config(argument: str) -> ml_collections.ConfigDict:
    """JNF with chains on the true posterior of 200 test tuples."""
    config = jnf_ebm.get_config() if argument == "ebm" else jnf_paper.get_config()
    config.refinement.num_transitions = 50
    config.evaluation.num_tuples = 200
    config.evaluation.batch_size = 200
    if argument == "langevin":
        config.refinement.update(
            kernel="ula", num_transitions=250, num_adaptation=0, initial_step_size=0.05
        )
    return config
