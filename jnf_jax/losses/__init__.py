"""Pure objectives: per-example terms in nats; the caller reduces.

Nothing here knows of networks, optimisers, devices or logging, so that a fork can take
one function and jax.
"""

from jnf_jax.losses.aggregate import AggregateModel, MixtureTerms
from jnf_jax.losses.contrastive import info_nce, nt_xent, symmetric_info_nce
from jnf_jax.losses.dcca import canonical_correlations, dcca
from jnf_jax.losses.denoising import denoising_loss
from jnf_jax.losses.energy import (
    energy_contrast,
    energy_magnitude,
    generation_loss,
    inference_loss,
)
from jnf_jax.losses.jmvae import unimodal_kl
from jnf_jax.losses.joint import (
    JointModel,
    LogRatio,
    gaussian_kl,
    hide_absent,
    iwae_bound,
    joint_elbo,
    sampled_log_ratio,
    tilted_kl,
)
from jnf_jax.losses.mmjsd import mmjsd
from jnf_jax.losses.mmvae import mmvae
from jnf_jax.losses.mmvae_plus import Expert, Latent, MixtureModel, mmvae_plus
from jnf_jax.losses.mopoe import mopoe
from jnf_jax.losses.multi_time import MultiTimeScore, multi_time_denoising_loss
from jnf_jax.losses.mvae import mvae
from jnf_jax.losses.mvtcae import mvtcae
from jnf_jax.losses.subsets import (
    SubsetModel,
    proper_subsets,
    simulated_subset_nll,
    subset_nll,
)
from jnf_jax.losses.unimodal import UnimodalModel, UnimodalTerms, unimodal_nll

__all__ = [
    "AggregateModel",
    "Expert",
    "JointModel",
    "Latent",
    "LogRatio",
    "MixtureModel",
    "MixtureTerms",
    "MultiTimeScore",
    "SubsetModel",
    "UnimodalModel",
    "UnimodalTerms",
    "canonical_correlations",
    "dcca",
    "denoising_loss",
    "energy_contrast",
    "energy_magnitude",
    "gaussian_kl",
    "generation_loss",
    "hide_absent",
    "inference_loss",
    "info_nce",
    "iwae_bound",
    "joint_elbo",
    "mmjsd",
    "mmvae",
    "mmvae_plus",
    "mopoe",
    "multi_time_denoising_loss",
    "mvae",
    "mvtcae",
    "nt_xent",
    "proper_subsets",
    "sampled_log_ratio",
    "simulated_subset_nll",
    "subset_nll",
    "symmetric_info_nce",
    "tilted_kl",
    "unimodal_kl",
    "unimodal_nll",
]
