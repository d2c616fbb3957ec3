"""JNF on PolyMNIST, and a prior fitted afterwards to the joint encoder's draws.

    python -m jnf_jax.train --config polymnist/jnf_after:gmm_cpu \\
        --config.data.backgrounds_dir=DIR --workdir runs/polymnist/gmm_after_cpu \\
        --config.init.joint=runs/polymnist/jnf_paper_cpu/checkpoints/joint

Stage ``prior`` alone, on two CPU cores and the joint VAE of polymnist/jnf_paper_cpu;
measured are joint draws and the ceiling, as subsets are those of that config. One seed;
N(0, I) has .02 on the same run of the joint VAE, the ceiling is .52 or .53:

=============  ===============  ================================================
argument       joint coherence
=============  ===============  ================================================
mixture_cpu    .22
gmm_cpu        .44              the energy has .47 after 300 steps, at less
                                entropy
maf_cpu        .34              after a tenth of the updates .20
ebm_cpu        .41              after 60 Langevin steps; .47 after 300, and .11
                                after none: a normal with the draws' moments
diffusion_cpu  .42              after a tenth of the updates .11
=============  ===============  ================================================

In runs of the energy that are in no record steps of 0.08 diverged by step 1,500, and by
step 400 where z was not whitened; a slope of at most 8 gave .13.

``:diffusion`` is for a GPU, on the joint VAE of polymnist/jnf. Not yet run.

    python -m jnf_jax.train --config polymnist/jnf_after:diffusion \\
        --workdir runs/polymnist/jnf_diffusion_prior \\
        --config.init.joint=runs/polymnist/jnf/checkpoints/joint

VP-SDE, β from 0.1 to 20, 250 steps to draw, as arXiv 2306.04445 has; draws are whitened
by their own mean and covariance; a residual MLP as wide as the latent, 512, and 40,000
updates are ours.
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.polymnist import jnf, jnf_paper_cpu

ARGUMENTS = {
    "diffusion": f"{priors.ARGUMENTS['diffusion']}, for a GPU",
    **{f"{name}_cpu": line for name, line in priors.ARGUMENTS.items()},
}


def get_config(argument: str) -> ml_collections.ConfigDict:
    """A density for the joint draws of polymnist/jnf_paper_cpu, or of polymnist/jnf."""
    if argument == "diffusion":
        return priors.on_checkpoints(jnf.get_config(), argument, hidden_size=512)
    config = jnf_paper_cpu.get_config()
    return priors.on_checkpoints(config, argument.removesuffix("_cpu"))
