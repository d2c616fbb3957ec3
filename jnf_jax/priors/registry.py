"""Every family of priors; a new one takes its file in this folder and a line here."""

from jnf_jax.priors.diffusion import DiffusionFamily
from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.flow import FlowFamily
from jnf_jax.priors.gmm import GaussianMixtureFamily
from jnf_jax.priors.laplace import LaplaceFamily, SmoothedLaplaceFamily
from jnf_jax.priors.learnable_scale import LearnableScaleFamily
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.priors.vamp import VampFamily

FAMILIES = (
    NormalFamily,
    LaplaceFamily,
    SmoothedLaplaceFamily,
    LearnableScaleFamily,
    MixtureFamily,
    VampFamily,
    EnergyFamily,
    FlowFamily,
    DiffusionFamily,
    GaussianMixtureFamily,
)

PRIORS = {f.name: f for f in FAMILIES if "joint" in f.stages}
"""Values of ``model.prior.name``; the other fields are the family's options."""

FITTED_FAMILIES = {f.name: f for f in FAMILIES if "prior" in f.stages}
"""Values of ``fitted_prior.name``: families that learn, and ask no encoder.

"learnable_scale" is none: in whitened coordinates all scales are 1.
"""
