"""JMVAE (arXiv 1611.01891): Gaussian unimodal encoders trained with the joint VAE.

The baseline that JNF grew from: one stage, whose loss adds to that of the joint VAE
α Σ_m KL(q(z|X) ‖ q_m(z|x_m)). Subsets use JNF's quotient, in closed form where the
prior is N(0, I); the reference implementation multiplies the experts without dividing
by the prior. β and α are constant: there is no warm-up of the KL.
"""

import functools

import jax
import jax.numpy as jnp

from jnf_jax.losses import unimodal_kl
from jnf_jax.methods import jnf
from jnf_jax.methods.joint_vae import JointVAE, build_joint_vae, mean_where_present
from jnf_jax.methods.method import Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.methods.subset import SubsetInference
from jnf_jax.methods.unimodal import (
    Experts,
    build_experts,
    build_trunks,
    init_experts,
    posteriors_of,
)
from jnf_jax.sampling import ChainSettings
from jnf_jax.stage import Stage
from jnf_jax.types import Params, Shapes, StageParams

STAGES = ("joint",)
SECTIONS = {}
faults = jnf.faults


def build(
    shapes: Shapes, *, model: ModelSettings, flow: FlowSettings, sampler: ChainSettings
) -> Method:
    """JMVAE for modalities of ``shapes``; chains run where the prior is not N(0, I).

    Raises:
        ValueError: If experts have flow blocks: the divergence is closed for none.
    """
    if flow.num_blocks:
        raise ValueError(
            "`experts` of JMVAE must be Gaussian, got flow blocks; set num_blocks = 0"
        )
    joint = build_joint_vae(shapes, model)
    experts = build_experts(shapes, build_trunks(shapes, model), model, flow)
    stage = Stage(
        "joint",
        functools.partial(_init, joint, experts),
        functools.partial(_loss, joint=joint, experts=experts, alpha=model.alpha),
        settings=("flow",),
        init_memory=joint.init_memory,
        watch=joint.prior.watch,
        has_convolutions=model.has_convolutions(shapes),
    )
    return Method((stage,), SubsetInference(joint, experts, _in_joint, sampler))


def _in_joint(params: StageParams) -> dict[str, Params]:
    return params["joint"]["experts"]


def _init(joint: JointVAE, experts: Experts, rng_key: jax.Array) -> Params:
    joint_key, expert_key = jax.random.split(rng_key)
    return joint.init(joint_key) | {"experts": init_experts(experts, expert_key)}


def _loss(params, frozen, rng_key, batch, *memory, joint, experts, alpha) -> tuple:
    """loss = −mean objective of the joint VAE + α Σ_m mean KL(q ‖ q_m)."""
    posterior = joint.encode(params, batch.views, batch.present)
    loss, metrics, *memory = joint.loss(
        params, frozen, rng_key, batch, *memory, posterior=posterior
    )
    views, present = batch.views, batch.present
    each = posteriors_of(experts, params["experts"], views, present)
    kl = unimodal_kl(posterior, each)
    if present is not None:
        kl = {m: value * present[m] for m, value in kl.items()}
    metrics |= {
        f"kl/{m}": mean_where_present(value, m, present) for m, value in kl.items()
    }
    loss += alpha * sum(jnp.mean(value) for value in kl.values())
    return loss, metrics, *memory
