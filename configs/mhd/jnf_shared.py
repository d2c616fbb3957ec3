"""JNF-Shared on MHD: flows condition on projectors of what is shared, for a GPU.

    python -m jnf_jax.train --config mhd/jnf_shared:cl \\
        --config.data.data_dir=DIR --workdir runs/mhd/jnf_shared_cl

Stage ``joint`` is that of mhd/jnf: ``--config.init.joint=DIR`` reads it from a run of
that config. Not yet run.

- cl: NT-Xent, τ = 0.07, bases and embeddings of 16, 100 epochs: the authors' settings;
  the batch of 512 is ours.
- dcca: twenty dimensions, batch 800, 100 epochs: the authors' settings; the rate of
  1e-4 and the ridge of 1e-3 are those of their PolyMNIST.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.mhd import jnf

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of mhd/jnf."""
    own = dict(cl=dict(size=16, base_size=16, temperature=0.07), dcca=dict(size=20))
    return projectors.with_projectors(
        jnf.get_config(),
        argument,
        posterior_hidden_sizes=(512, 512, 512),
        shared=projectors.epochs(argument, 100, 45_000),
        **own[argument],
    )
