"""JNF-Shared on PolyMNIST: flows condition on projectors of what is shared.

    python -m jnf_jax.train --config polymnist/jnf_shared:cl \\
        --workdir runs/polymnist/jnf_shared_cl

For a GPU. Stage ``joint`` is that of polymnist/jnf: ``--config.init.joint=DIR`` reads
it from a run of that config. Not yet confirmed.

- cl: NT-Xent over the ten pairs, τ = 0.1, bases of 64 and embeddings of 10, 80 epochs:
  what the authors have on Translated PolyMNIST; the batch of 512 is ours.
- dcca: twenty dimensions, batch 800, 200 epochs at 1e-4, ridge 1e-3: the authors'
  settings. Expected, from their stored runs (4 seeds, MultiVae's protocol): coherence
  .75 / .89 / .93 / .95 from 1 / 2 / 3 / 4 modalities.

On two CPU cores, beside polymnist/jnf_paper_cpu, whose stage ``joint`` theirs is;
without ``init.joint`` it is trained here:

    python -m jnf_jax.train --config polymnist/jnf_shared:cl_cpu \\
        --workdir runs/polymnist/jnf_shared_cl_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.joint=runs/polymnist/jnf_paper_cpu/checkpoints/joint

- cl_cpu: the flows take two or three minutes, for embeddings are cached. One seed,
  1,000 test tuples: coherence .74 from one modality, where polymnist/jnf_paper_cpu has
  .59 on the same joint VAE; but .57 / .55 / .59 from 2 / 3 / 4, where that has .70 /
  .71 / .74. These experts come near the average of q(z|X), which is not N(0, I), and
  are divided by powers of N(0, I): given three modalities their bases leave no density
  for 86 % of the data (share_improper in the record). polymnist/jnf_divisor divides by
  that average.
- dcca_cpu: the same with the projectors of DCCA.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.polymnist import jnf, jnf_paper_cpu

ARGUMENTS = projectors.ARGUMENTS | {
    "cl_cpu": "projectors learnt by a contrastive loss, on two CPU cores",
    "dcca_cpu": "projectors learnt by deep CCA, on two CPU cores",
}


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of polymnist/jnf, or of jnf_paper_cpu."""
    if argument in projectors.ARGUMENTS:
        return with_projectors(jnf.get_config(), argument)
    config = with_projectors(jnf_paper_cpu.get_config(), argument.removesuffix("_cpu"))
    config.projectors.posterior_hidden_sizes = (256, 256)
    with config.unlocked():
        config.shared = dict(num_steps=1_500, batch_size=512)
    return config


def with_projectors(
    config: ml_collections.ConfigDict, argument: str
) -> ml_collections.ConfigDict:
    """The authors' projectors, for the config of any JNF on 54,000 tuples."""
    return projectors.with_projectors(
        config,
        argument,
        size=dict(cl=10, dcca=20)[argument],
        posterior_hidden_sizes=(512, 512, 512),
        shared=projectors.epochs(argument, dict(cl=80, dcca=200)[argument], 54_000),
    )
