"""Methods by name, built from settings and the shapes of the data."""

import dataclasses

from jnf_jax.methods.fitted_prior import with_fitted_prior
from jnf_jax.methods.jmvae import jmvae
from jnf_jax.methods.jnf import jnf
from jnf_jax.methods.joint_vae import JointVAE, View
from jnf_jax.methods.method import Method
from jnf_jax.methods.product import divisor_faults
from jnf_jax.methods.settings import FlowSettings, ModelSettings, Shapes
from jnf_jax.methods.unimodal import UnimodalPosterior
from jnf_jax.networks.build import CONVOLUTIONAL, build_decoder, build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder, JointEncoder
from jnf_jax.networks.made import made_stack
from jnf_jax.priors.family import PriorFamily
from jnf_jax.sampling import ChainSettings

STAGES = {"jmvae": ("joint",), "jnf": ("joint", "unimodal")}
"""Names that a config's ``method`` may have, and their stages in order of training."""


def build_method(
    name: str,
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    divisor: str = "prior",
    fitted_prior: PriorFamily | None = None,
) -> Method:
    """The method ``name`` for modalities of ``shapes``.

    With ``fitted_prior`` it has a last stage, ``prior``: see ``fitted_prior.py``.
    Subsets divide by ``divisor``: see ``product.py``.

    Raises:
        ValueError: If the name is unknown, or with every fault of the settings.
    """
    if name not in STAGES:
        raise ValueError(f"`method` is {name!r}, expected one of {tuple(STAGES)}")
    faults = model.faults(shapes) + flow.faults()
    faults += divisor_faults(divisor, model.prior, fitted_prior)
    if faults:
        raise ValueError("\n".join(faults))
    joint = _joint_vae(shapes, model)
    experts = tuple(
        UnimodalPosterior(
            m,
            tuple(shapes[m]),
            GaussianEncoder(
                build_trunk(model.network(m)), model.latent_dim, flow.context_size
            ),
            made_stack(model.latent_dim, flow.hidden_sizes, flow.num_blocks),
            flow.max_log_scale,
        )
        for m in sorted(shapes)
    )
    has_convolutions = any(model.network(m).kind in CONVOLUTIONAL for m in shapes)
    if name == "jmvae":
        method = jmvae(
            joint,
            experts,
            sampler,
            alpha=model.alpha,
            has_convolutions=has_convolutions,
        )
    else:
        method = jnf(
            joint,
            experts,
            sampler,
            num_posterior_samples=flow.num_posterior_samples,
            has_convolutions=has_convolutions,
        )
    if fitted_prior:
        method = with_fitted_prior(method, joint, fitted_prior)
    inference = dataclasses.replace(method.inference, divisor=divisor)
    return dataclasses.replace(method, inference=inference)


def _joint_vae(shapes: Shapes, model: ModelSettings) -> JointVAE:
    encoder = JointEncoder(
        heads=tuple((m, build_trunk(model.network(m))) for m in sorted(shapes)),
        hidden_sizes=model.joint_hidden_sizes,
        latent_size=model.latent_dim,
        head_size=model.head_size or model.latent_dim,
    )
    views = tuple(
        View(
            m,
            tuple(shapes[m]),
            build_decoder(model.network(m), tuple(shapes[m])),
            model.likelihood(m).name,
            model.likelihood(m).scale,
            model.weight(m, shapes),
        )
        for m in sorted(shapes)
    )
    return JointVAE(encoder, views, model.prior, model.beta)
