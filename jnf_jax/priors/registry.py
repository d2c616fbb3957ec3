"""Families of priors by the name that a config gives them."""

from jnf_jax.priors.energy import EnergyFamily
from jnf_jax.priors.flow import FlowFamily
from jnf_jax.priors.laplace import LaplaceFamily, SmoothedLaplaceFamily
from jnf_jax.priors.learnable_scale import LearnableScaleFamily
from jnf_jax.priors.mixture import MixtureFamily
from jnf_jax.priors.normal import NormalFamily
from jnf_jax.priors.vamp import VampFamily

PRIORS = {
    family.name: family
    for family in (
        NormalFamily,
        LaplaceFamily,
        SmoothedLaplaceFamily,
        LearnableScaleFamily,
        MixtureFamily,
        VampFamily,
        EnergyFamily,
        FlowFamily,
    )
}
"""What ``model.prior.name`` may be; the other fields are the family's options."""
