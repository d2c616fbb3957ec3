"""JNF on Translated PolyMNIST, and a prior fitted afterwards to the encoder's draws.

    python -m jnf_jax.train --config translated_polymnist/jnf_after:gmm \\
        --workdir runs/translated_polymnist/jnf_gmm_after \\
        --config.init.joint=runs/translated_polymnist/jnf/checkpoints/joint

Or ``:mixture``, ``:maf``, ``:ebm``, ``:diffusion``. Stage ``prior`` alone, for a GPU;
measured are joint draws and the ceiling. With N(0, I) all models of the authors fail
here: is it the prior? The mixture by EM has ten components, as in their runs on
PolyMNIST. Not yet run.
"""

import ml_collections

from jnf_jax.configs import priors
from jnf_jax.configs.translated_polymnist import jnf

ARGUMENTS = priors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """A density for the joint draws of translated_polymnist/jnf."""
    own = dict(num_components=10) if argument == "gmm" else {}
    return priors.on_checkpoints(jnf.get_config(), argument, **own)
