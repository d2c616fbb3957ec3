"""MoPoE (arXiv 2105.02470): a mixture of the products over all subsets of the views.

One stage. A subset S is inferred as the mixture of the 2^|S| − 1 products over its
subsets; N(0, I) is a factor of the product over all M modalities alone, as in the
released code.
"""

from typing import Any

from jnf_jax import losses
from jnf_jax.aggregation import Experts, subset_products
from jnf_jax.losses.mopoe import non_empty_subsets
from jnf_jax.methods.aggregated import aggregation_faults, build_aggregated
from jnf_jax.methods.method import Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Shapes

STAGES = ("joint",)
SECTIONS = {}


def faults(*, model: ModelSettings, **others: Any) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    return aggregation_faults("mopoe", "a mixture of products", model=model, **others)


def build(
    shapes: Shapes, *, model: ModelSettings, flow: FlowSettings, sampler: ChainSettings
) -> Method:
    """MoPoE for modalities of ``shapes``; it has neither flows nor chains."""
    del flow, sampler
    return build_aggregated(
        shapes,
        model,
        objective=losses.mopoe,
        components=_components,
        takes_log_ratio=True,
    )


def _components(experts: Experts, num_modalities: int) -> Experts:
    """The product over every subset of what is given."""
    subsets = non_empty_subsets(len(experts.mean))
    with_prior = [len(subset) == num_modalities for subset in subsets]
    return subset_products(experts, subsets, with_prior=with_prior)
