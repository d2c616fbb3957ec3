"""JNF on PolyMNIST and a latent diffusion, fitted to `jnf.py`'s joint draws, for a GPU.

    python -m jnf_jax.train --config configs/polymnist/jnf_diffusion_prior.py \\
        --workdir runs/polymnist/jnf_diffusion_prior \\
        --config.init.joint=runs/polymnist/jnf/checkpoints/joint

Stage ``prior`` alone: VP-SDE, β from 0.1 to 20, 250 steps to draw, as arXiv 2306.04445
has; draws are whitened by their own mean and covariance; a residual MLP as wide as the
latent, 512, and 40,000 updates are ours. Measured are joint draws and the ceiling. Not
yet run.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """A latent diffusion for the joint draws of `jnf.py`."""
    return priors.on_checkpoints(jnf.get_config(), "diffusion", hidden_size=512)
