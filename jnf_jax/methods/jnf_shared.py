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
from jnf_jax.methods import jnf
from jnf_jax.methods.amortised import SubsetPosteriorSettings, build_amortised
from jnf_jax.methods.joint_vae import JointVAE, build_joint_vae
from jnf_jax.methods.method import Batch, Method
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.methods.subset import SubsetInference
from jnf_jax.methods.unimodal import build_experts, build_trunks, init_experts
from jnf_jax.networks.build import Network
from jnf_jax.networks.gaussian import MlpTrunk
from jnf_jax.networks.projector import Projector, SphereProjector
from jnf_jax.options import REQUIRED, option
from jnf_jax.sampling import ChainSettings
from jnf_jax.stage import Stage
from jnf_jax.types import Params, Shapes, StageParams, Views

MIN_TEMPERATURE = 0.01
"""A learnt τ stays above it: 1/τ multiplies the gradients."""

CONTRASTIVE = {"info_nce": symmetric_info_nce, "nt_xent": nt_xent}


@dataclasses.dataclass(frozen=True)
class ProjectorSettings:
    """JNF-Shared's projectors g_m; their trunks are those of ``model.networks``."""

    objective: str = option(
        REQUIRED,
        '"nt_xent" or "info_nce" (contrastive), or "dcca".',
        one_of=("dcca", *CONTRASTIVE),
    )
    size: int = option(REQUIRED, "o, the dimension of g_m(x_m).", at_least=1)
    base_size: int = option(
        64,
        "Features that each modality hands to the head that all share; contrastive.",
        at_least=1,
    )
    temperature: float = option(0.1, "τ; contrastive.", above=0)
    learns_temperature: bool = option(
        False, "Whether τ is a parameter that starts there; contrastive."
    )
    num_correlations: int = option(
        0,
        "How many of each pair's largest correlations are summed; 0: all; DCCA.",
        at_least=0,
    )
    ridge: float = option(1e-3, "Added to variances; DCCA.", above=0)
    posterior_hidden_sizes: tuple[int, ...] = option(
        (512, 512, 512),
        "MLP from g_m(x_m) to the base of q_m.",
        at_least=1,
        not_empty=True,
    )

    def cross_faults(self, field: str) -> list[str]:
        """There are ``size`` correlations, and a learnt τ stays above its least."""
        found = []
        if self.learns_temperature and 0 < self.temperature <= MIN_TEMPERATURE:
            found.append(
                f"`{field}.temperature` is {self.temperature}, expected > "
                f"{MIN_TEMPERATURE} where it is learnt"
            )
        if self.num_correlations > self.size:
            found.append(
                f"`{field}.num_correlations` is {self.num_correlations}, expected <= "
                f"`size` = {self.size}"
            )
        return found

    def batch_faults(self, batch_size: int, said: str) -> list[str]:
        """Whether a batch of that size says anything to the objective; ``said`` tells
        where the number comes from, "`field` is 3"."""
        if self.objective != "dcca" and batch_size < 2:
            return [f"{said}, expected 2 or more: one datum is told from no other"]
        if self.objective != "dcca" or batch_size > 2 * self.size:
            return []
        return [
            f"{said}, expected more than "
            f"2 * `projectors.size` = {2 * self.size}: in fewer data some correlation "
            "is 1 whatever they are; hundreds more say something"
        ]


STAGES = ("shared", "joint", "unimodal")
SECTIONS = jnf.SECTIONS | {"projectors": ProjectorSettings}
faults = jnf.faults


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    subset_posterior: SubsetPosteriorSettings,
    projectors: ProjectorSettings,
) -> Method:
    """JNF-Shared for modalities of ``shapes``.

    ``flow`` is that of q_m(z|g_m), or of stage ``subsets``, which reads the joint
    encoder's heads too.
    """
    joint, trunks = build_joint_vae(shapes, model), build_trunks(shapes, model)
    networks = {m: _projector(trunks[m], projectors) for m in sorted(shapes)}
    projections = Projections(
        tuple((m, tuple(shapes[m]), g) for m, g in networks.items()), projectors
    )
    has_convolutions = model.has_convolutions(shapes)
    shared_stage = Stage(
        "shared",
        projections.init,
        projections.loss,
        settings=("projectors",),
        has_convolutions=has_convolutions,
    )
    first = (shared_stage, jnf.joint_stage(joint, has_convolutions))
    if subset_posterior.name == "amortised":
        features = HeadsAndEmbeddings(joint, projections)
        return build_amortised(joint, first, features, flow, subset_posterior)
    experts = build_experts(
        dict.fromkeys(shapes, (projectors.size,)),
        dict.fromkeys(shapes, MlpTrunk(projectors.posterior_hidden_sizes)),
        model,
        flow,
    )
    unimodal_stage = Stage(
        "unimodal",
        functools.partial(init_experts, experts),
        functools.partial(
            _on_embeddings, experts=experts, num_samples=flow.num_posterior_samples
        ),
        needs=("shared", "joint"),
        settings=("flow", "projectors"),
        cache=functools.partial(_cache, joint, projections),
        has_convolutions=False,
    )
    on_pixels = tuple(
        dataclasses.replace(expert, projector=networks[expert.name])
        for expert in experts
    )
    return Method(
        (*first, unimodal_stage),
        SubsetInference(joint, on_pixels, _with_projectors, sampler),
    )


def _projector(trunk: Network, settings: ProjectorSettings) -> Network:
    """g of one modality: f32[B, ...] -> f32[B, o]."""
    if settings.objective == "dcca":
        return Projector(trunk, settings.size)
    return SphereProjector(trunk, settings.base_size, settings.size)


@dataclasses.dataclass(frozen=True)
class Projections:
    """Every g_m, f32[B, *shape] -> f32[B, o], and how they are learnt.

    Parameters {"projectors": {m}}; contrastive ones share "head", DCCA's is each
    modality's own; "log_temperature" if learnt: τ is `MIN_TEMPERATURE` + its exp.

    Attributes:
        views: (m, shape, g_m) of every modality, sorted.
        settings: The objective and its options.
    """

    views: tuple[tuple[str, tuple[int, ...], Network], ...]
    settings: ProjectorSettings

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters."""
        keyed = zip(self.views, jax.random.split(rng_key, len(self.views)), strict=True)
        own = {
            m: network.init(key, jnp.zeros((1, *shape)))["params"]
            for (m, shape, network), key in keyed
        }
        if self.settings.objective == "dcca":
            return {"projectors": own}
        heads = [own[name].pop("head") for name in own]
        params = {"projectors": own, "head": heads[0]}
        if self.settings.learns_temperature:
            above = self.settings.temperature - MIN_TEMPERATURE
            params["log_temperature"] = jnp.log(jnp.float32(above))
        return params

    def embed(self, params: Params, views: Views) -> dict[str, jax.Array]:
        """{m: g_m(x_m) f32[B, o]} of the views that there are."""
        return {
            m: network.apply({"params": _projector_params(params, m)}, views[m])
            for m, _, network in self.views
            if m in views
        }

    def loss(
        self, params: Params, frozen: None, rng_key: jax.Array, batch: Batch
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The objective over the whole batch, all devices together."""
        embeddings, how = self.embed(params, batch.views), self.settings
        if how.objective == "dcca":
            num = how.num_correlations or how.size
            loss = dcca(embeddings, ridge=how.ridge, num_correlations=num)
            num_pairs = len(embeddings) * (len(embeddings) - 1) / 2
            return loss, {"mean_correlation": -loss / (num_pairs * num)}
        temperature, metrics = how.temperature, {}
        if how.learns_temperature:
            # Not clipped: at a floor with no gradient it would stay for good.
            temperature = MIN_TEMPERATURE + jnp.exp(params["log_temperature"])
            metrics = {"temperature": temperature}
        return jnp.mean(CONTRASTIVE[how.objective](embeddings, temperature)), metrics


@dataclasses.dataclass(frozen=True)
class HeadsAndEmbeddings:
    """Features of a view: its head in the joint encoder, and g_m(x_m)."""

    joint: JointVAE
    projections: Projections

    @property
    def sizes(self) -> dict[str, int]:
        """{m: H + o}."""
        size = self.joint.encoder.head_size + self.projections.settings.size
        return dict.fromkeys(self.joint.modalities, size)

    def __call__(self, params: StageParams, views: Views) -> dict[str, jax.Array]:
        """{m: f32[B, H + o]}."""
        heads = self.joint.features(params["joint"], views)
        embeddings = self.projections.embed(params["shared"], views)
        return {m: jnp.concatenate([heads[m], embeddings[m]], axis=-1) for m in heads}


def _projector_params(params: Params, name: str) -> Params:
    """Those of one modality, with the head that all share where there is one."""
    head = {"head": params["head"]} if "head" in params else {}
    return params["projectors"][name] | head


def _cache(
    joint: JointVAE, projections: Projections, params: StageParams, views: Views
) -> dict[str, Any]:
    """The joint posterior's mean and scale, and what the experts read."""
    embeddings = projections.embed(params["shared"], views)
    return joint.cached_posterior(params, views) | {"embeddings": embeddings}


def _on_embeddings(
    params: Params, frozen: None, rng_key: jax.Array, batch: Batch, **options: Any
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """JNF's stage two with the cached embeddings in the place of pixels."""
    batch = batch._replace(views=batch.cached["embeddings"])
    return jnf.unimodal_loss(params, frozen, rng_key, batch, **options)


def _with_projectors(params: StageParams) -> dict[str, Params]:
    """{m: parameters} of experts that read pixels."""
    return {
        m: expert | {"projector": _projector_params(params["shared"], m)}
        for m, expert in params["unimodal"].items()
    }
