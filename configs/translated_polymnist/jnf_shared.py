"""JNF-Shared on Translated PolyMNIST: flows condition on projectors, for a GPU.

    python -m jnf_jax.train --config translated_polymnist/jnf_shared:cl \\
        --workdir runs/translated_polymnist/jnf_shared_cl

Stage ``joint`` is that of translated_polymnist/jnf: ``--config.init.joint=DIR`` reads
it from a run of that config. Not yet run.

- cl: NT-Xent over the ten pairs, τ = 0.1, bases of 64 and embeddings of 10, 80 epochs:
  the authors' settings; the batch of 512 is ours.
- dcca: twenty dimensions, batch 800, 200 epochs at 1e-4, ridge 1e-3: what the authors
  have on PolyMNIST; none of theirs is known for this set.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.polymnist import jnf_shared
from jnf_jax.configs.translated_polymnist import jnf

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of translated_polymnist/jnf."""
    return jnf_shared.with_projectors(jnf.get_config(), argument)
