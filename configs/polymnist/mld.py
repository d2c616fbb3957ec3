"""MLD on PolyMNIST with the published settings of its diffusion, for an accelerator.

    python -m jnf_jax.train --config polymnist/mld \\
        --config.data.official_dir=DIR --workdir runs/polymnist/mld

As the code of arXiv 2306.04445 has it: codes of 160 numbers a view, a subset given in a
fifth of the rows, errors of the noise, β from 0.1 to 20, 250 steps of the sampler, Adam
1e-4, batch 256, 3,000 epochs. Ours: a residual MLP of their width, 1,536, for their
linear U-Net; the average of its parameters; and all of the autoencoders, whose settings
we do not know: networks, Laplace 0.75 and 400 epochs of polymnist/jnf. Not yet run.
"""

import ml_collections

from jnf_jax.configs import peers
from jnf_jax.configs.polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """MLD, 160 numbers a view."""
    diffusion = dict(num_steps=3_000 * jnf.STEPS_PER_EPOCH, batch_size=256)
    config = peers.latent_diffusion(
        jnf.get_config(),
        diffusion | peers.AS_PUBLISHED,
        conditioning_probability=0.2,
        weighting="noise",
        hidden_size=1_536,
    )
    config.model.latent_dim = 160
    return config
