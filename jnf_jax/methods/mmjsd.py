"""mmJSD (arXiv 2006.08242): a mixture of experts and a prior made of them.

One stage. A subset is the mixture of its experts. p(z) is N(0, I): with it the dynamic
prior, a geometric mean of p and the experts, is closed.
"""

from typing import Any

from jnf_jax import losses
from jnf_jax.methods.aggregated import (
    aggregation_faults,
    as_it_is,
    build_aggregated,
    standard_normal_faults,
)
from jnf_jax.methods.method import Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Shapes

STAGES = ("joint",)
SECTIONS = {}


def faults(*, model: ModelSettings, **others: Any) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    found = aggregation_faults("mmjsd", "a mixture", model=model, **others)
    why = "its geometric mean with the experts is closed"
    return found + standard_normal_faults("mmjsd", why, model)


def build(
    shapes: Shapes, *, model: ModelSettings, flow: FlowSettings, sampler: ChainSettings
) -> Method:
    """The method for modalities of ``shapes``; it has neither flows nor chains."""
    del flow, sampler
    return build_aggregated(shapes, model, objective=losses.mmjsd, components=as_it_is)
