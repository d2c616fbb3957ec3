"""One flow for every subset of the views, for the config of any JNF."""

import ml_collections

STAGE = dict(batch_size=256, warmup_steps=200, ema_decay=0.999, select="last")
"""How stage ``subsets`` is trained, but for its steps."""


def amortised(
    config: ml_collections.ConfigDict, num_steps: int, **flow
) -> ml_collections.ConfigDict:
    """``config`` with stage ``subsets`` in place of ``unimodal``, and of chains.

    Args:
        config: Of a JNF or JNF-Shared with unimodal flows.
        num_steps: Of stage ``subsets``.
        **flow: Options of the flow, beside those here.
    """
    config.stages = config.stages.replace("unimodal", "subsets")
    with config.unlocked():
        del config.unimodal
        config.subset_posterior.name = "amortised"
        config.flow.update(num_blocks=3, context_size=128, num_posterior_samples=2)
        config.flow.update(flow)
        config.subsets = STAGE | dict(num_steps=num_steps)
    return config
