"""JNF-Shared on a data set of your own: experts that see only what views share.

    python -m jnf_jax.train --config own/jnf_shared:cl:runs/wine/data \\
        --workdir runs/own_shared

For views that differ in more than what they share. The folder behind ``cl`` or ``dcca``
is that of own/jnf, whose stage ``joint`` this is: ``--config.init.joint=DIR`` reads it
from a run of that. Both want large batches. Subsets are products of experts, by chains:
the one flow of own/jnf would read the joint encoder's heads beside the projections, and
with them what views do not share.

- cl: NT-Xent over all pairs, τ = 0.1.
- dcca: ``projectors.size`` is how many directions the views share (of k classes,
  k - 1), and a batch must have several times as many rows.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.own import jnf

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of own/jnf on the folder behind the colon."""
    objective, _, folder = argument.partition(":")
    rows = jnf.manifest_of(folder)["splits"]["train"]["size"] if folder else 512
    config = jnf.get_config(folder)
    config.subset_posterior.name = "product"
    config.flow.update(
        hidden_sizes=(128, 128, 128), context_size=0, num_posterior_samples=1
    )
    return projectors.with_projectors(
        config,
        objective,
        size=dict(cl=16, dcca=9)[objective],
        posterior_hidden_sizes=(256, 256),
        shared=dict(num_steps=1_000, batch_size=min(512, rows)),
    )
