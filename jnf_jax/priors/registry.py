"""Every family of priors by name; a new one takes its file in this folder and a line.

A family is imported when it is asked for: whoever only needs the names imports no jax.
"""

import importlib
from typing import Any

FAMILIES = {
    "normal": "jnf_jax.priors.normal:NormalFamily",
    "laplace": "jnf_jax.priors.laplace:LaplaceFamily",
    "smoothed_laplace": "jnf_jax.priors.laplace:SmoothedLaplaceFamily",
    "learnable_scale": "jnf_jax.priors.learnable_scale:LearnableScaleFamily",
    "mixture": "jnf_jax.priors.mixture:MixtureFamily",
    "vamp": "jnf_jax.priors.vamp:VampFamily",
    "energy": "jnf_jax.priors.energy:EnergyFamily",
    "flow": "jnf_jax.priors.flow:FlowFamily",
    "diffusion": "jnf_jax.priors.diffusion:DiffusionFamily",
    "gmm": "jnf_jax.priors.gmm:GaussianMixtureFamily",
}
"""Name -> "module:class"."""

_OF_STAGE = {"PRIORS": "joint", "FITTED_FAMILIES": "prior"}


def load(name: str) -> Any:
    """The class of a family in ``FAMILIES``."""
    module, family = FAMILIES[name].split(":")
    return getattr(importlib.import_module(module), family)


def __getattr__(name: str) -> dict[str, Any]:
    """``PRIORS``: values of ``model.prior.name``, whose options are the other fields.

    ``FITTED_FAMILIES``: likewise of ``fitted_prior.name``: families that learn, and ask
    no encoder. "learnable_scale" is none: in whitened coordinates all scales are 1.
    """
    if name not in _OF_STAGE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    families = {family: load(family) for family in FAMILIES}
    return {n: cls for n, cls in families.items() if _OF_STAGE[name] in cls.stages}
