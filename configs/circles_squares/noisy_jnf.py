"""JNF on circles and squares with private waves: how much of them can it bear?

    python -m jnf_jax.train --config configs/circles_squares/noisy_jnf.py \\
        --workdir runs/noisy/jnf_0.4 --config.data.noise=0.4

`noisy_shared_cl.py` and `noisy_shared_dcca.py` continue from its stage one;
`configs/ablations/private_noise.py` runs all three over amounts of waves. Few pairs, so
that private detail can be over-fitted, and small networks: minutes on a CPU.
"""

import ml_collections
from jnf_jax.configs.circles_squares import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, 2,000 pairs."""
    config = jnf.get_config()
    with config.unlocked():
        config.data.update(
            num_train=2_000, num_validation=1_000, num_test=5_000, noise=0.4
        )
    config.model.latent_dim = 16
    config.model.joint_hidden_sizes = (256,)
    config.model.networks.default.hidden_sizes = (256,)
    config.flow.max_log_scale = 2.0
    config.joint.num_steps = 2_000
    config.unimodal.num_steps = 2_000
    config.evaluation.num_tuples = 5_000
    config.evaluation.num_prior_samples = 1_000
    return config
