"""JNF (arXiv 2502.03952): a joint VAE, then flow posteriors fitted to it.

Stage ``joint`` trains q(z|X) and the decoders. In the paper stage ``unimodal`` fits
q_m(z|x_m) to the frozen, cached q(z|X), and a subset is inferred from the product of
its experts divided by the prior^(|S|−1). With ``subset_posterior.name`` "amortised"
stage ``subsets`` fits one flow to every subset instead: see ``amortised.py``.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jnf_jax.losses import UnimodalModel, unimodal_nll
from jnf_jax.methods.amortised import (
    HeadFeatures,
    SubsetPosteriorSettings,
    build_amortised,
)
from jnf_jax.methods.joint_vae import (
    JointVAE,
    build_joint_vae,
    mean_where_present,
    posterior_from_cache,
)
from jnf_jax.methods.method import Batch, Method
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.settings import FlowSettings, ModelSettings, Shapes
from jnf_jax.methods.subset import SubsetInference
from jnf_jax.methods.unimodal import (
    UnimodalPosterior,
    build_experts,
    build_trunks,
    init_experts,
    posteriors_of,
)
from jnf_jax.sampling import ChainSettings
from jnf_jax.stage import Stage
from jnf_jax.types import Params, StageParams

STAGES = ("joint", "unimodal")
SECTIONS = {"subset_posterior": SubsetPosteriorSettings}


def faults(
    *,
    model: ModelSettings,
    quotient: Quotient,
    subset_posterior: SubsetPosteriorSettings | None = None,
    **others: Any,
) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    del others
    found = model.prior.faults_beside("normal", "model.prior")
    is_amortised = subset_posterior and subset_posterior.name == "amortised"
    if is_amortised and quotient != Quotient():
        found.append(
            "`sampler.divisor` and `sampler.defensive_weight` are set, expected their "
            "defaults with `subset_posterior.name` 'amortised': nothing is divided"
        )
    return found


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    subset_posterior: SubsetPosteriorSettings,
) -> Method:
    """JNF for modalities of ``shapes``.

    Args:
        shapes: {modality: event shape}.
        model: Networks, likelihoods and prior of stage ``joint``.
        flow: The experts, of stage ``unimodal``, or the flow of stage ``subsets``.
        sampler: How products of experts are sampled.
        subset_posterior: How subsets are inferred.
    """
    joint = build_joint_vae(shapes, model)
    first = joint_stage(joint, model.has_convolutions(shapes))
    if subset_posterior.name == "amortised":
        return build_amortised(
            joint, (first,), HeadFeatures(joint), flow, subset_posterior
        )
    experts = build_experts(shapes, build_trunks(shapes, model), model, flow)
    stages = (
        first,
        Stage(
            "unimodal",
            functools.partial(init_experts, experts),
            functools.partial(
                unimodal_loss, experts=experts, num_samples=flow.num_posterior_samples
            ),
            needs=("joint",),
            settings=("flow",),
            cache=joint.cached_posterior,
            has_convolutions=first.has_convolutions,
        ),
    )
    return Method(stages, SubsetInference(joint, experts, _stage_unimodal, sampler))


def joint_stage(joint: JointVAE, has_convolutions: bool) -> Stage:
    """The stage whose checkpoints serve JNF-Shared too."""
    return Stage(
        "joint",
        joint.init,
        joint.loss,
        init_memory=joint.init_memory,
        watch=joint.prior.watch,
        has_convolutions=has_convolutions,
        of="jnf",
    )


def _stage_unimodal(params: StageParams) -> dict[str, Params]:
    return params["unimodal"]


def unimodal_loss(
    params: Params,
    frozen: None,
    rng_key: jax.Array,
    batch: Batch,
    *,
    experts: tuple[UnimodalPosterior, ...],
    num_samples: int,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean ``unimodal_nll`` against the cached joint posterior, and its terms."""
    model = UnimodalModel(
        joint_posterior=posterior_from_cache,
        posteriors=lambda params, batch: posteriors_of(
            experts, params, batch.views, batch.present
        ),
    )
    terms = unimodal_nll(
        params,
        frozen,
        rng_key,
        batch,
        model=model,
        num_samples=num_samples,
        present=batch.present,
    )
    metrics = {
        f"nll/{m}": mean_where_present(nll, m, batch.present)
        for m, nll in terms.nll.items()
    }
    return jnp.mean(terms.loss), metrics
