"""Pure objectives: per-example terms in nats; the caller reduces.

Nothing here knows of networks, optimisers, devices or logging, so that a fork can take
one function and jax.
"""

from jnf_jax.losses.energy import energy_contrast, energy_magnitude
from jnf_jax.losses.jmvae import unimodal_kl
from jnf_jax.losses.joint import (
    JointModel,
    LogRatio,
    gaussian_kl,
    iwae_bound,
    joint_elbo,
    sampled_log_ratio,
    tilted_kl,
)
from jnf_jax.losses.mmvae_plus import (
    Expert,
    Latent,
    MixtureModel,
    MixtureTerms,
    mmvae_plus,
)
from jnf_jax.losses.unimodal import UnimodalModel, UnimodalTerms, unimodal_nll

__all__ = [
    "Expert",
    "JointModel",
    "Latent",
    "LogRatio",
    "MixtureModel",
    "MixtureTerms",
    "UnimodalModel",
    "UnimodalTerms",
    "energy_contrast",
    "energy_magnitude",
    "gaussian_kl",
    "iwae_bound",
    "joint_elbo",
    "mmvae_plus",
    "sampled_log_ratio",
    "tilted_kl",
    "unimodal_kl",
    "unimodal_nll",
]
