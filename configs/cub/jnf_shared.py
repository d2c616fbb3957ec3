"""JNF-Shared on CUB: flows condition on projectors of picture and caption, for a GPU.

    python -m jnf_jax.train --config cub/jnf_shared:cl \\
        --config.data.captions_file=FILE --workdir runs/cub/jnf_shared_cl

Stage ``joint`` is that of cub/jnf: ``--config.init.joint=DIR`` reads it from a run of
that config. Not yet run.

- cl: NT-Xent, bases and embeddings of 32, 80 epochs: the authors' settings; τ = 0.1 is
  that of their other sets, the batch of 512 ours. Several captions of a batch may be of
  one picture: the loss takes them for strangers.
- dcca: batch 800, rate 1e-4 and ridge 1e-3 are what the authors have on other sets;
  none of theirs is known for this one, and 32 dimensions and 80 epochs are as above.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.cub import jnf

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of cub/jnf."""
    return projectors.with_projectors(
        jnf.get_config(),
        argument,
        size=32,
        posterior_hidden_sizes=(512, 512, 512),
        shared=projectors.epochs(argument, 80, 94_300),
        **dict(cl=dict(base_size=32), dcca={})[argument],
    )
