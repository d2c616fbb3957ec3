"""A prior that is fitted afterwards, to draws of the frozen posterior of all views.

Stage ``prior`` learns a density of the aggregate posterior q̂(z) = E_X q(z|X) from its
draws (not from its means, which are too narrow), whitened by their own mean and
covariance. It changes what is drawn jointly; subsets keep the prior that the model was
trained with, unless told to divide by this one (``product.py``). Methods that share a
stage ``joint`` share this one too.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.methods.method import Batch, Method
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.registry import FITTED_FAMILIES
from jnf_jax.priors.whitening import WhitenedPrior, Whitening, fit_whitening, identity
from jnf_jax.stage import Stage
from jnf_jax.types import Params


def with_fitted_prior(method: Method, family: PriorFamily) -> Method:
    """``method`` with a stage ``prior`` behind the others, which learns ``family``.

    What ``method.inference.joint`` keeps of q(z|X) for the whole set, as its
    ``cached_posterior`` does, its ``draw_cached`` draws from.

    Raises:
        ValueError: If the family cannot be fitted afterwards, or the method fits its
            own.
    """
    if family.name not in FITTED_FAMILIES:
        raise ValueError(
            f"`fitted_prior.name` is {family.name!r}, expected one of "
            f"{sorted(FITTED_FAMILIES)}"
        )
    joint = method.inference.joint
    if not hasattr(joint, "draw_cached"):
        raise ValueError(
            f"`fitted_prior.name` is {family.name!r}, expected none with method 'mld': "
            "its diffusion is the law of its codes, fitted afterwards"
        )
    (of,) = [stage.of for stage in method.stages if stage.name == "joint"]
    stage = Stage(
        "prior",
        functools.partial(_init, family, joint),
        functools.partial(_loss, family=family, joint=joint),
        needs=("joint",),
        settings=("fitted_prior",),
        cache=joint.cached_posterior,
        fit=functools.partial(_fit, family, joint) if family.fit else None,
        prepare=functools.partial(_prepare, joint),
        init_memory=lambda rng_key: family.init_memory(rng_key, joint.latent_size),
        watch=family.watch,
        has_convolutions=False,
        of=of,
    )
    inference = dataclasses.replace(method.inference, fitted=family)
    return Method((*method.stages, stage), inference)


def bind_whitened(
    family: PriorFamily, params: Params, latent_size: int
) -> WhitenedPrior:
    """The density of z that stage ``prior`` learnt, from its parameters."""
    of_u = family.bind(params["density"], latent_size)
    return WhitenedPrior(of_u, Whitening(**params["whitening"]))


def _init(family: PriorFamily, joint: Any, rng_key: jax.Array) -> Params:
    return {
        "whitening": identity(joint.latent_size)._asdict(),
        "density": family.init(rng_key, joint.latent_size, {}),
    }


def _prepare(joint: Any, cached: Any) -> Params:
    """The whitening of one draw a training tuple, the same draws for every seed."""
    z = joint.draw_cached(jax.random.key(0), jax.tree.map(jnp.asarray, cached))
    return {"whitening": fit_whitening(np.asarray(z))._asdict()}


def _fit(family: PriorFamily, joint: Any, rng_key: jax.Array, cached: Any) -> Params:
    """From one draw z ~ q(z|X) a training tuple."""
    prepared = _prepare(joint, cached)
    draw_key, fit_key = jax.random.split(rng_key)
    z = joint.draw_cached(draw_key, jax.tree.map(jnp.asarray, cached))
    u = Whitening(**prepared["whitening"]).whiten(z)
    return prepared | {"density": family.fit(fit_key, np.asarray(u))}


def _loss(params, frozen, rng_key, batch: Batch, *memory, family, joint) -> tuple:
    """The family's own loss at z ~ q(z|X), whitened."""
    draw_key, own_key = jax.random.split(rng_key)
    z = joint.draw_cached(draw_key, batch.cached)
    whitening = jax.lax.stop_gradient(Whitening(**params["whitening"]))
    u, log_volume = whitening.whiten(z), whitening.log_volume
    return family.loss(params["density"], own_key, u, *memory, log_volume=log_volume)
