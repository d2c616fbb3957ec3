"""Methods by name, built from settings and the shapes of the data."""

import dataclasses
from collections.abc import Mapping

from jnf_jax.methods.diffusion_decoder import (
    DenoiserSettings,
    with_diffusion_decoder,
)
from jnf_jax.methods.fitted_prior import with_fitted_prior
from jnf_jax.methods.jmvae import jmvae
from jnf_jax.methods.jnf import jnf
from jnf_jax.methods.jnf_shared import Projection, jnf_shared
from jnf_jax.methods.joint_vae import JointVAE, View
from jnf_jax.methods.method import Method
from jnf_jax.methods.mixture_vae import ExpertEncoder, MixtureVAE
from jnf_jax.methods.mmvae_plus import mmvae_plus
from jnf_jax.methods.product import Quotient, quotient_faults
from jnf_jax.methods.settings import (
    ExpertSettings,
    FlowSettings,
    ModelSettings,
    ProjectorSettings,
    Shapes,
)
from jnf_jax.methods.unimodal import UnimodalPosterior
from jnf_jax.networks.build import CONVOLUTIONAL, Network, build_decoder, build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder, JointEncoder, MlpTrunk
from jnf_jax.networks.made import made_stack
from jnf_jax.networks.projector import Projector, SphereProjector
from jnf_jax.priors.family import PriorFamily
from jnf_jax.sampling import ChainSettings

STAGES = {
    "jmvae": ("joint",),
    "jnf": ("joint", "unimodal"),
    "jnf_shared": ("shared", "joint", "unimodal"),
    "mmvae_plus": ("joint",),
}
"""Names that a config's ``method`` may have, and their stages in order of training."""


def build_method(
    name: str,
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    quotient: Quotient | None = None,
    experts: ExpertSettings | None = None,
    fitted_prior: PriorFamily | None = None,
    projectors: ProjectorSettings | None = None,
    denoiser: DenoiserSettings | None = None,
) -> Method:
    """The method ``name`` for modalities of ``shapes``.

    With ``fitted_prior`` it has a further stage, ``prior``: see ``fitted_prior.py``;
    with ``denoiser`` a last one, ``diffusion_decoder``: see ``diffusion_decoder.py``.
    Subsets divide as ``quotient`` says: see ``product.py``. ``experts`` are those of
    "mmvae_plus", ``projectors`` those of "jnf_shared".

    Raises:
        ValueError: If the name is unknown, or with every fault of the settings.
    """
    if name not in STAGES:
        raise ValueError(f"`method` is {name!r}, expected one of {tuple(STAGES)}")
    experts, quotient = experts or ExpertSettings(), quotient or Quotient()
    faults = model.faults(shapes) + flow.faults() + experts.faults()
    faults += quotient_faults(quotient, model.prior, fitted_prior, sampler.kernel)
    faults += _combination_faults(
        name, quotient, model.prior, experts, projectors, denoiser
    )
    if faults:
        raise ValueError("\n".join(faults))
    has_convolutions = any(model.network(m).kind in CONVOLUTIONAL for m in shapes)
    if name == "mmvae_plus":
        joint = _mixture_vae(shapes, model, experts)
        method = mmvae_plus(joint, has_convolutions=has_convolutions)
    else:
        joint = _joint_vae(shapes, model)
    if name == "jmvae":
        method = jmvae(
            joint,
            _posteriors(shapes, _trunks(shapes, model), model, flow),
            sampler,
            alpha=model.alpha,
            has_convolutions=has_convolutions,
        )
    elif name == "jnf":
        method = jnf(
            joint,
            _posteriors(shapes, _trunks(shapes, model), model, flow),
            sampler,
            num_posterior_samples=flow.num_posterior_samples,
            has_convolutions=has_convolutions,
        )
    elif name == "jnf_shared":
        method = jnf_shared(
            joint,
            *_shared_networks(shapes, model, flow, projectors),
            sampler,
            projectors=projectors,
            num_posterior_samples=flow.num_posterior_samples,
            has_convolutions=has_convolutions,
        )
    if fitted_prior:
        method = with_fitted_prior(method, joint, fitted_prior)
    if denoiser:
        method = with_diffusion_decoder(method, joint, denoiser)
    return method if quotient == Quotient() else _divided_by(method, quotient)


def _divided_by(method: Method, quotient: Quotient) -> Method:
    inference = dataclasses.replace(method.inference, quotient=quotient)
    return dataclasses.replace(method, inference=inference)


def _combination_faults(
    name: str,
    quotient: Quotient,
    prior: PriorFamily,
    experts: ExpertSettings,
    projectors: ProjectorSettings | None,
    denoiser: DenoiserSettings | None,
) -> list[str]:
    """What is wrong with settings that are good by themselves, for this method."""
    found = denoiser.faults() if denoiser else []
    family = experts.family if name == "mmvae_plus" else "normal"
    found += prior.faults_beside(family, "model.prior")
    for field, default in dataclasses.asdict(Quotient()).items():
        if name == "mmvae_plus" and (got := getattr(quotient, field)) != default:
            found.append(
                f"`sampler.{field}` is {got!r}, expected {default!r}: 'mmvae_plus' "
                "infers by a mixture and divides by nothing"
            )
    if name == "mmvae_plus" and denoiser:
        found.append(
            "`denoiser` is not for 'mmvae_plus', expected a method with a joint "
            "encoder: 'jnf', 'jnf_shared' or 'jmvae'"
        )
    if name == "jnf_shared" and projectors is None:
        found.append("`projectors` is None, expected those of 'jnf_shared'")
    return found


def _posteriors(
    shapes: Shapes,
    trunks: Mapping[str, Network],
    model: ModelSettings,
    flow: FlowSettings,
) -> tuple[UnimodalPosterior, ...]:
    """One a modality, reading arrays of ``shapes`` through ``trunks``."""
    return tuple(
        UnimodalPosterior(
            m,
            tuple(shapes[m]),
            GaussianEncoder(trunks[m], model.latent_dim, flow.context_size),
            made_stack(model.latent_dim, flow.hidden_sizes, flow.num_blocks),
            flow.max_log_scale,
        )
        for m in sorted(shapes)
    )


def _trunks(shapes: Shapes, model: ModelSettings) -> dict[str, Network]:
    return {m: build_trunk(model.network(m), model.compute_dtype) for m in shapes}


def _shared_networks(
    shapes: Shapes,
    model: ModelSettings,
    flow: FlowSettings,
    projectors: ProjectorSettings,
) -> tuple[tuple[Projection, ...], tuple[UnimodalPosterior, ...]]:
    """Projectors of pixels, and posteriors that read what these say."""
    trunks = _trunks(shapes, model)
    body = MlpTrunk(projectors.posterior_hidden_sizes)
    posteriors = _posteriors(
        dict.fromkeys(shapes, (projectors.size,)),
        dict.fromkeys(shapes, body),
        model,
        flow,
    )
    return _projections(shapes, trunks, projectors), posteriors


def _projections(
    shapes: Shapes, trunks: Mapping[str, Network], projectors: ProjectorSettings
) -> tuple[Projection, ...]:
    def network(trunk: Network) -> Network:
        if projectors.objective == "dcca":
            return Projector(trunk, projectors.size)
        return SphereProjector(trunk, projectors.base_size, projectors.size)

    return tuple(
        Projection(m, tuple(shapes[m]), network(trunks[m])) for m in sorted(shapes)
    )


def _joint_vae(shapes: Shapes, model: ModelSettings) -> JointVAE:
    encoder = JointEncoder(
        heads=tuple(
            (m, build_trunk(model.network(m), model.compute_dtype))
            for m in sorted(shapes)
        ),
        hidden_sizes=model.joint_hidden_sizes,
        latent_size=model.latent_dim,
        head_size=model.head_size or model.latent_dim,
        dtype=model.compute_dtype,
    )
    return JointVAE(encoder, _views(shapes, model), model.prior, model.beta)


def _mixture_vae(
    shapes: Shapes, model: ModelSettings, experts: ExpertSettings
) -> MixtureVAE:
    def encoder(m: str, size: int) -> GaussianEncoder:
        trunk = build_trunk(model.network(m), model.compute_dtype)
        return GaussianEncoder(trunk, size, scale=experts.scale)

    private = experts.private_dim
    encoders = tuple(
        ExpertEncoder(
            encoder(m, model.latent_dim), encoder(m, private) if private else None
        )
        for m in sorted(shapes)
    )
    return MixtureVAE(
        _views(shapes, model),
        encoders,
        model.prior,
        experts.family,
        model.beta,
        experts.num_importance_samples,
    )


def _views(shapes: Shapes, model: ModelSettings) -> tuple[View, ...]:
    return tuple(
        View(
            m,
            tuple(shapes[m]),
            build_decoder(model.network(m), tuple(shapes[m]), model.compute_dtype),
            model.likelihood(m).name,
            model.likelihood(m).scale,
            model.weight(m, shapes),
        )
        for m in sorted(shapes)
    )
