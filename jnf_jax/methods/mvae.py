"""MVAE (arXiv 1802.05335): a product of experts and the prior, for any subset.

One stage, trained on the ELBOs of all modalities together, of each alone, and of random
subsets. p(z) is N(0, I), which is a factor of every product.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from jnf_jax import losses
from jnf_jax.aggregation import Experts, experts_of, product
from jnf_jax.methods.aggregated import (
    aggregation_faults,
    build_aggregated,
    standard_normal_faults,
)
from jnf_jax.methods.method import Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.options import option
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Shapes


@dataclasses.dataclass(frozen=True)
class MvaeSettings:
    """The sub-sampled ELBO of MVAE."""

    num_subsets: int = option(
        1,
        "K, random subsets a datum and step beside all modalities and each alone.",
        at_least=0,
    )


STAGES = ("joint",)
SECTIONS = {"mvae": MvaeSettings}


def faults(*, model: ModelSettings, mvae: MvaeSettings, **others: Any) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    del mvae
    found = aggregation_faults("mvae", "a product of its own", model=model, **others)
    why = "it is one of the experts, and closed"
    return found + standard_normal_faults("mvae", why, model)


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    mvae: MvaeSettings,
) -> Method:
    """MVAE for modalities of ``shapes``; it has neither flows nor chains."""
    del flow, sampler
    return build_aggregated(
        shapes,
        model,
        objective=losses.mvae,
        components=_components,
        options=dataclasses.asdict(mvae),
        takes_log_ratio=True,
        sections=("mvae",),
    )


def _components(experts: Experts, num_modalities: int) -> Experts:
    """N(0, I) times the product: one component."""
    del num_modalities
    code = product(experts, with_prior=True)
    return experts_of([code], jnp.ones_like(experts.present[:1]))
