"""`jnf_cpu.py` with products of experts over what its joint posterior averages to.

    python -m jnf_jax.train --config configs/polymnist/jnf_divisor_cpu.py \\
        --workdir runs/polymnist/jnf_divisor_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint \\
        --config.init.unimodal=runs/polymnist/jnf_cpu/checkpoints/unimodal

The quotient's N(0, I) is replaced by one normal with mean and covariance of draws from
q(z|X), X the training tuples: the marginal of z that the experts were fitted to. Exact
experts average to it, each with weight 1 / 54,000, which the normal is given too.

A negative result: from 2 / 3 / 4 modalities .58 / .65 / .67 of 1,000 tuples (one seed),
.64 / .62 / .62 without the weight, and .70 / .71 / .74 over N(0, I). The experts of
JNF-Shared gain by both: see `jnf_shared_cl_divisor_cpu.py`.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf_cpu


def get_config() -> ml_collections.ConfigDict:
    """A normal, fitted afterwards, as divisor."""
    return with_fitted_divisor(jnf_cpu.get_config())


def with_fitted_divisor(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The same for the config of any method with products of experts."""
    config = priors.fitted_afterwards(config, "gmm", num_components=1)
    config.sampler.divisor = "fitted"
    config.sampler.defensive_weight = 1 / 54_000
    return config
