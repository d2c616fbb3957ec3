"""JNF-Shared on the config of any JNF: projectors of what the modalities share."""

import ml_collections

ARGUMENTS = dict(
    cl="projectors learnt by a contrastive loss",
    dcca="projectors learnt by deep CCA",
)
"""What a family of JNF-Shared is asked for."""

OBJECTIVES = dict(
    cl=dict(
        objective="nt_xent", base_size=64, temperature=0.1, learns_temperature=False
    ),
    dcca=dict(objective="dcca", num_correlations=0, ridge=1e-3),
)
"""Argument -> what its projectors learn by."""


SHARED = dict(
    cl=dict(batch_size=512, schedule="cosine"),
    dcca=dict(batch_size=800, learning_rate=1e-4, schedule="constant"),
)
"""Argument -> how the authors train stage ``shared``; the batch of ``cl`` is ours."""


def epochs(argument: str, number: int, num_tuples: int) -> dict:
    """``number`` epochs of stage ``shared`` on so many training tuples, see above."""
    own = SHARED[argument]
    return own | dict(num_steps=number * (num_tuples // own["batch_size"]))


def with_projectors(
    config: ml_collections.ConfigDict,
    argument: str,
    size: int,
    posterior_hidden_sizes: tuple[int, ...],
    shared: dict,
    **options,
) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of ``config``, and stage ``shared`` before them.

    Args:
        config: Of a JNF.
        argument: A key of ``ARGUMENTS``.
        size: Dimensions of an embedding.
        posterior_hidden_sizes: Of the network between embedding and flow.
        shared: How the stage is trained.
        **options: Of the projectors, instead of those of ``OBJECTIVES``.
    """
    config.method = "jnf_shared"
    config.stages = "shared,joint,unimodal"
    with config.unlocked():
        config.projectors = OBJECTIVES[argument] | options
        config.projectors.size = size
        config.projectors.posterior_hidden_sizes = posterior_hidden_sizes
        config.shared = shared
    return config
