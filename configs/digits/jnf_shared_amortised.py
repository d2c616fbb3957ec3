"""JNF-Shared on the digits with one flow for every subset, which reads both.

    python -m jnf_jax.train --config digits/jnf_shared_amortised:cl --workdir runs/cl

The flow reads embeddings of what the modalities share, beside the heads of the joint
encoder. Stage ``joint`` is that of digits/jnf and stage ``shared`` that of
digits/jnf_shared: ``--config.init.joint=DIR``, ``--config.init.shared=DIR``. Numbers of
``:cl``: docs/results.md; ``:dcca`` is not yet run.
"""

import ml_collections

from jnf_jax.configs import projectors, subsets
from jnf_jax.configs.digits import jnf, jnf_shared

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Projectors of digits/jnf_shared, subsets of digits/jnf."""
    return subsets.amortised(jnf_shared.get_config(argument), jnf.NUM_STEPS)
