"""MMVAE (arXiv 1911.03393): a mixture of experts, by an importance-weighted bound.

One stage, with any prior. A subset is the mixture of its experts.
"""

import dataclasses
from typing import Any

from jnf_jax import losses
from jnf_jax.losses.mmvae import BOUNDS, GRADIENTS
from jnf_jax.methods.aggregated import (
    FAMILIES,
    aggregation_faults,
    as_it_is,
    build_aggregated,
)
from jnf_jax.methods.method import Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.networks.gaussian import SCALES
from jnf_jax.options import option
from jnf_jax.sampling import ChainSettings
from jnf_jax.types import Shapes


@dataclasses.dataclass(frozen=True)
class MmvaeSettings:
    """The experts of MMVAE, its bound, and how experts learn from it."""

    family: str = option(
        "laplace", 'The experts, "laplace" or "normal".', one_of=FAMILIES
    )
    scale: str = option(
        "softmax",
        'How encoders give scales: "softmax", averaging to one, or "exp".',
        one_of=SCALES,
    )
    num_importance_samples: int = option(1, "K, draws an expert.", at_least=1)
    bound: str = option(
        "looser",
        '"looser", with experts averaged outside the logarithm, or "tighter".',
        one_of=BOUNDS,
    )
    gradient: str = option(
        "plain",
        'How experts learn: "plain", "dreg" (unbiased too), or "dreg_published".',
        one_of=GRADIENTS,
    )


STAGES = ("joint",)
SECTIONS = {"mmvae": MmvaeSettings}


def faults(*, model: ModelSettings, mmvae: MmvaeSettings, **others: Any) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    return aggregation_faults(
        "mmvae", "a mixture", model=model, family=mmvae.family, **others
    )


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    mmvae: MmvaeSettings,
) -> Method:
    """MMVAE for modalities of ``shapes``; it has neither flows nor chains."""
    del flow, sampler
    options = dataclasses.asdict(mmvae)
    del options["family"], options["scale"]  # of the experts, not of the objective
    return build_aggregated(
        shapes,
        model,
        objective=losses.mmvae,
        components=as_it_is,
        options=options,
        sections=("mmvae",),
        family=mmvae.family,
        scale=mmvae.scale,
    )
