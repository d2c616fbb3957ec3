"""A prior that is fitted afterwards, to draws of the frozen joint encoder.

Stage ``prior`` learns a density of the aggregate posterior q̂(z) = E_X q(z|X) from its
draws (not from its means, which are too narrow). It changes what is drawn jointly;
subsets keep the prior that the model was trained with.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jnf_jax.methods.energy import contrast
from jnf_jax.methods.joint_vae import JointVAE
from jnf_jax.methods.method import Batch, Method, MethodStage
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.family import PriorFamily
from jnf_jax.types import Params

FITTED_FAMILIES = ("energy", "flow", "learnable_scale", "mixture")
"""Families that can be fitted afterwards: they learn, and ask no encoder."""


def with_fitted_prior(method: Method, joint: JointVAE, family: PriorFamily) -> Method:
    """``method`` with a stage ``prior`` behind the others.

    Args:
        method: Its stage ``joint`` holds the parameters of ``joint``.
        joint: Whose encoder is frozen.
        family: Of the density; maximum likelihood, or for "energy" by contrast.

    Raises:
        ValueError: If the family cannot be fitted afterwards.
    """
    if family.name not in FITTED_FAMILIES:
        raise ValueError(
            f"`fitted_prior.name` is {family.name!r}, expected one of {FITTED_FAMILIES}"
        )
    stage = MethodStage(
        "prior",
        functools.partial(_init, family, joint),
        functools.partial(_loss, family=family, latent_size=joint.latent_size),
        needs=("joint",),
        settings=("fitted_prior",),
        cache=joint.cached_posterior,
        has_convolutions=False,
    )
    inference = dataclasses.replace(method.inference, fitted=family)
    return Method((*method.stages, stage), inference)


def _init(family: PriorFamily, joint: JointVAE, rng_key: jax.Array) -> Params:
    return family.init(rng_key, joint.latent_size, {})


def _loss(
    params: Params,
    frozen: None,
    rng_key: jax.Array,
    batch: Batch,
    *,
    family: PriorFamily,
    latent_size: int,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """−mean log p(z) at z ~ q(z|X), or the contrast of an energy; nats."""
    del frozen
    draw_key, chain_key = jax.random.split(rng_key)
    mean, scale = batch.cached["mean"], batch.cached["scale"]
    z = mean + scale * jax.random.normal(draw_key, mean.shape)
    if isinstance(family, EnergyFamily):
        return contrast(family, params, chain_key, z)
    log_density = family.bind(params, latent_size).log_density(z)
    return -jnp.mean(log_density), {"log_density": jnp.mean(log_density)}
