"""JNF on Translated PolyMNIST and a Gaussian mixture by EM, fitted to `jnf.py`'s draws.

    python -m jnf_jax.train --config configs/translated_polymnist/jnf_gmm_after.py \\
        --workdir runs/translated_polymnist/jnf_gmm_after \\
        --config.init.joint=runs/translated_polymnist/jnf/checkpoints/joint

Stage ``prior`` alone; measured are joint draws and the ceiling. With N(0, I) all models
of the authors fail here: is it the prior? Ten components, as in
their runs on PolyMNIST. Not yet run.
"""

import ml_collections
from jnf_jax.configs import priors
from jnf_jax.configs.translated_polymnist import jnf


def get_config() -> ml_collections.ConfigDict:
    """Full covariances by EM for the joint draws of `jnf.py`."""
    return priors.on_checkpoints(jnf.get_config(), "gmm", num_components=10)
