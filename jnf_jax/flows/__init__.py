"""Normalizing flows: masks of autoregressive networks and a distrax bijector."""

from jnf_jax.flows.colouring import coloured
from jnf_jax.flows.maf import (
    MaskedAutoregressive,
    base_distance,
    flow_posterior,
    masked_autoregressive_flow,
)
from jnf_jax.flows.masks import MadeMasks, made_masks

__all__ = [
    "MadeMasks",
    "MaskedAutoregressive",
    "base_distance",
    "coloured",
    "flow_posterior",
    "made_masks",
    "masked_autoregressive_flow",
]
