"""JNF-Shared (arXiv 2502.03952): experts that see only what modalities share.

Stage ``shared`` learns projectors g_m whose embeddings agree across modalities, by a
contrastive loss or by DCCA; stage ``joint`` is JNF's own, so its checkpoints serve both
methods; stage ``unimodal`` fits q_m(z|g_m(x_m)) to the cached q(z|X), on embeddings
that are cached as well. A subset is inferred as in JNF.

The best q_m is E[q(z|X) | g_m(x_m)]: never nearer to q(z|X) than plain JNF's best. The
gain is a smaller regression that cannot over-fit to private detail: expect better
coherence at a worse log q_m.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jnf_jax.losses import dcca, nt_xent, symmetric_info_nce
from jnf_jax.methods.jnf import jnf
from jnf_jax.methods.joint_vae import JointVAE
from jnf_jax.methods.method import Batch, Method
from jnf_jax.methods.settings import MIN_TEMPERATURE, ProjectorSettings
from jnf_jax.methods.unimodal import UnimodalPosterior
from jnf_jax.networks.build import Network
from jnf_jax.sampling import ChainSettings
from jnf_jax.stage import Stage
from jnf_jax.types import Params, Views

CONTRASTIVE = {"info_nce": symmetric_info_nce, "nt_xent": nt_xent}


@dataclasses.dataclass(frozen=True)
class Projection:
    """g of one modality: f32[B, *shape] -> f32[B, o]."""

    name: str
    shape: tuple[int, ...]
    network: Network


def jnf_shared(
    joint: JointVAE,
    projections: tuple[Projection, ...],
    experts: tuple[UnimodalPosterior, ...],
    chains: ChainSettings,
    *,
    projectors: ProjectorSettings,
    num_posterior_samples: int = 1,
    has_convolutions: bool = True,
) -> Method:
    """JNF-Shared as stages and inference.

    Args:
        joint: Encoder, decoders and prior of stage ``joint``.
        projections: g_m, one a modality, of stage ``shared``.
        experts: q_m(z|g_m), of stage ``unimodal``; they read embeddings.
        chains: How subsets with 1 < |S| < M are sampled.
        projectors: The objective of stage ``shared``.
        num_posterior_samples: Draws of z a datum and step in stage ``unimodal``.
        has_convolutions: Whether any network of pixels is convolutional.
    """
    plain = jnf(
        joint,
        experts,
        chains,
        num_posterior_samples=num_posterior_samples,
        has_convolutions=has_convolutions,
    )
    joint_stage, unimodal_stage = plain.stages
    shared_stage = Stage(
        "shared",
        functools.partial(_init, projections, projectors),
        functools.partial(_loss, projections=projections, settings=projectors),
        settings=("projectors",),
        has_convolutions=has_convolutions,
    )
    unimodal_stage = dataclasses.replace(
        unimodal_stage,
        loss=functools.partial(_on_embeddings, unimodal_stage.loss),
        needs=("shared", "joint"),
        settings=("flow", "projectors"),
        cache=functools.partial(_cache, joint, projections),
        has_convolutions=False,
    )
    inference = dataclasses.replace(
        plain.inference,
        experts=tuple(
            dataclasses.replace(expert, projector=projection.network)
            for expert, projection in zip(experts, projections, strict=True)
        ),
        expert_params=_with_projectors,
    )
    joint_stage = dataclasses.replace(joint_stage, of="jnf")
    return Method((shared_stage, joint_stage, unimodal_stage), inference)


def embed(
    projections: tuple[Projection, ...], params: Params, views: Views
) -> dict[str, jax.Array]:
    """{m: g_m(x_m) f32[B, o]} from the parameters of stage ``shared``."""
    return {
        p.name: p.network.apply(
            {"params": _projector_params(params, p.name)}, views[p.name]
        )
        for p in projections
    }


def _projector_params(params: Params, name: str) -> Params:
    """Those of one modality, with the head that all share where there is one."""
    head = {"head": params["head"]} if "head" in params else {}
    return params["projectors"][name] | head


def _init(
    projections: tuple[Projection, ...],
    settings: ProjectorSettings,
    rng_key: jax.Array,
) -> Params:
    """{"projectors": {m}}; contrastive ones share "head"; "log_temperature" if learnt.

    DCCA's head is each modality's own. A learnt τ is `MIN_TEMPERATURE` + exp(its log).
    """
    keys = jax.random.split(rng_key, len(projections))
    own = {
        p.name: p.network.init(key, jnp.zeros((1, *p.shape)))["params"]
        for p, key in zip(projections, keys, strict=True)
    }
    if settings.objective == "dcca":
        return {"projectors": own}
    heads = [own[name].pop("head") for name in own]
    params = {"projectors": own, "head": heads[0]}
    if settings.learns_temperature:
        above = settings.temperature - MIN_TEMPERATURE
        params["log_temperature"] = jnp.log(jnp.float32(above))
    return params


def _loss(
    params: Params,
    frozen: None,
    rng_key: jax.Array,
    batch: Batch,
    *,
    projections: tuple[Projection, ...],
    settings: ProjectorSettings,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The objective over the whole batch, all devices together."""
    del frozen, rng_key
    embeddings = embed(projections, params, batch.views)
    if settings.objective == "dcca":
        num_correlations = settings.num_correlations or settings.size
        loss = dcca(embeddings, ridge=settings.ridge, num_correlations=num_correlations)
        num_pairs = len(embeddings) * (len(embeddings) - 1) / 2
        return loss, {"mean_correlation": -loss / (num_pairs * num_correlations)}
    temperature, metrics = settings.temperature, {}
    if settings.learns_temperature:
        # Not clipped: at a floor with no gradient it would stay for good.
        temperature = MIN_TEMPERATURE + jnp.exp(params["log_temperature"])
        metrics = {"temperature": temperature}
    terms = CONTRASTIVE[settings.objective](embeddings, temperature)
    return jnp.mean(terms), metrics


def _cache(
    joint: JointVAE,
    projections: tuple[Projection, ...],
    params: dict[str, Params],
    views: Views,
) -> dict[str, Any]:
    """The joint posterior's mean and scale, and what the experts read."""
    return {
        **joint.cached_posterior(params, views),
        "embeddings": embed(projections, params["shared"], views),
    }


def _on_embeddings(
    loss: Any, params: Params, frozen: None, rng_key: jax.Array, batch: Batch
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """JNF's stage two with the cached embeddings in the place of pixels."""
    return loss(
        params, frozen, rng_key, batch._replace(views=batch.cached["embeddings"])
    )


def _with_projectors(params: dict[str, Params]) -> dict[str, Params]:
    """{m: parameters} of experts that read pixels."""
    return {
        m: expert | {"projector": _projector_params(params["shared"], m)}
        for m, expert in params["unimodal"].items()
    }
