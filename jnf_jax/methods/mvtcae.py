"""MVTCAE (Hwang et al., NeurIPS 2021): a product of experts by total correlation.

One stage. A subset is the product of its experts, without the prior as a factor.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from jnf_jax import losses
from jnf_jax.aggregation import Experts, experts_of, product
from jnf_jax.methods.aggregated import aggregation_faults, build_aggregated
from jnf_jax.methods.method import Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.options import option
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Shapes


@dataclasses.dataclass(frozen=True)
class MvtcaeSettings:
    """The bound of the total correlation of MVTCAE."""

    alpha: float = option(
        0.8333333333333334,
        "α, the share of the divergences from the experts; 5/6 as published.",
        between=(0, 1),
    )


STAGES = ("joint",)
SECTIONS = {"mvtcae": MvtcaeSettings}


def faults(*, model: ModelSettings, mvtcae: MvtcaeSettings, **others: Any) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    del mvtcae
    return aggregation_faults("mvtcae", "a product of its own", model=model, **others)


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    mvtcae: MvtcaeSettings,
) -> Method:
    """MVTCAE for modalities of ``shapes``; it has neither flows nor chains."""
    del flow, sampler
    return build_aggregated(
        shapes,
        model,
        objective=losses.mvtcae,
        components=_components,
        options=dataclasses.asdict(mvtcae),
        takes_log_ratio=True,
        sections=("mvtcae",),
    )


def _components(experts: Experts, num_modalities: int) -> Experts:
    """The product: one component."""
    del num_modalities
    return experts_of([product(experts)], jnp.ones_like(experts.present[:1]))
