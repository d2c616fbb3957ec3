"""JNF-Shared on the digits: flows condition on projectors of what is shared.

    python -m jnf_jax.train --config digits/jnf_shared:cl --workdir runs/digits_cl

Stage ``joint`` is that of digits/jnf: ``--config.init.joint=DIR`` reads it from a run
of that config. One core, one seed, on the same joint VAE as a run of digits/jnf_paper
that has .67 / .81 from 1 / 2 modalities, ceiling .85; held-out log q_j is 7 to 10 nats
worse than there with either.

- cl: NT-Xent over all pairs of modalities, τ = 0.1. Coherence .81 / .87 from 1 / 2
  modalities. For 250 steps the loss stays near chance, 3 log 1023 = 20.8: then it
  falls.
- dcca: nine dimensions, for ten classes have nine contrasts. Coherence .80 / .88.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.digits import jnf_paper

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of digits/jnf_paper."""
    return projectors.with_projectors(
        jnf_paper.get_config(),
        argument,
        size=dict(cl=16, dcca=9)[argument],
        posterior_hidden_sizes=(256, 256),
        shared=dict(num_steps=1_500, batch_size=512),
    )
