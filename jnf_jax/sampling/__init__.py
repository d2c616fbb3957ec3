"""Sampling from densities known up to a constant: products of experts, HMC, Langevin;
and from diffusions.

Imports nothing of the program around it: densities come in as callables.
"""

from jnf_jax.sampling.annealing import LogNormaliser, log_normaliser
from jnf_jax.sampling.chain_settings import ChainSettings
from jnf_jax.sampling.chains import (
    ChainDiagnostics,
    ChainInfo,
    burn_and_keep,
    diagnose,
    run_chains,
    warnings,
)
from jnf_jax.sampling.hmc import adapt_step_size
from jnf_jax.sampling.importance import (
    KHAT_LIMIT,
    LEAST_PROPOSALS,
    WeightQuality,
    independence_metropolis,
    resample,
    weight_quality,
)
from jnf_jax.sampling.jumping import jump_and_move
from jnf_jax.sampling.langevin import (
    LEAST_ACCEPTANCE,
    LangevinRun,
    LangevinSettings,
    check_run,
    divergence,
    langevin_path,
    run_langevin,
)
from jnf_jax.sampling.moments import MomentGap, Moments, moment_gap, moments
from jnf_jax.sampling.poe import (
    GaussianProduct,
    MatchedNormal,
    gaussian_product,
    initial_positions,
    matched_product,
    product_log_density,
)
from jnf_jax.sampling.probability_flow import probability_flow
from jnf_jax.sampling.tempering import Tempered, tempered_smc

__all__ = [
    "KHAT_LIMIT",
    "LEAST_ACCEPTANCE",
    "LEAST_PROPOSALS",
    "ChainDiagnostics",
    "ChainInfo",
    "ChainSettings",
    "GaussianProduct",
    "LangevinRun",
    "LangevinSettings",
    "LogNormaliser",
    "MatchedNormal",
    "MomentGap",
    "Moments",
    "Tempered",
    "WeightQuality",
    "adapt_step_size",
    "burn_and_keep",
    "check_run",
    "diagnose",
    "divergence",
    "gaussian_product",
    "independence_metropolis",
    "initial_positions",
    "jump_and_move",
    "langevin_path",
    "log_normaliser",
    "matched_product",
    "moment_gap",
    "moments",
    "probability_flow",
    "product_log_density",
    "resample",
    "run_chains",
    "run_langevin",
    "tempered_smc",
    "warnings",
    "weight_quality",
]
