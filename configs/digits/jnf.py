"""JNF on the embedded digits, with one flow for every subset; no download.

    python -m jnf_jax.train --config digits/jnf --workdir runs/digits

The joint VAE is that of digits/jnf_paper: ``--config.init.joint=DIR`` reads it from a
run of that. One conditional flow for every subset takes the place of unimodal flows and
chains.

Numbers of this config: docs/results.md. Seed 0 at a rate of 4e-3, by hand, in no
record: the validation loss ends the same, at 6.32, and coherence from 1 / 2 modalities
at .711 / .820 (043acc7) instead of .733 / .837 (e527d1f).
"""

import ml_collections

from jnf_jax.configs import subsets
from jnf_jax.configs.digits import jnf_paper

NUM_STEPS = 30_000


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, amortised subsets."""
    return subsets.amortised(jnf_paper.get_config(), NUM_STEPS)
