"""JNF-Shared on handwriting: flows condition on projectors, two CPU cores.

    python -m jnf_jax.train --config handwriting/jnf_shared:cl \\
        --workdir runs/handwriting/jnf_shared_cl --config.data.data_dir=DIR \\
        --config.init.joint=runs/handwriting/jnf_cpu/checkpoints/joint

Stage ``joint`` is that of handwriting/jnf_cpu; without ``init.joint`` it is trained
here. Nothing was tuned. Not yet run.

- cl: NT-Xent over the three pairs, τ = 0.1, bases of 64 and embeddings of 16, which are
  ours.
- dcca: nine dimensions, for ten classes have nine contrasts.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.handwriting import jnf_cpu

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of handwriting/jnf_cpu."""
    batch = dict(cl=dict(batch_size=256), dcca=dict(batch_size=512, learning_rate=1e-3))
    return projectors.with_projectors(
        jnf_cpu.get_config(),
        argument,
        size=dict(cl=16, dcca=9)[argument],
        posterior_hidden_sizes=(256, 256),
        shared=dict(batch[argument], num_steps=1_500, schedule="cosine"),
    )
