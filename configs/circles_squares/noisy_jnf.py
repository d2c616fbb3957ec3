"""JNF on circles and squares with private waves: how much of them can it bear?

    python -m jnf_jax.train --config configs/circles_squares/noisy_jnf.py \\
        --workdir runs/noisy/jnf_0.4 --config.data.noise=0.4

`noisy_shared_cl.py` and `noisy_shared_dcca.py` continue from its stage one;
`examples/private_noise.py` draws coherence over the amount of waves. Few pairs and
small networks: minutes on a CPU. Not yet confirmed.
"""

import ml_collections

from configs.circles_squares import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, 20,000 pairs."""
    config = jnf.get_config()
    with config.unlocked():
        config.data.update(
            num_train=20_000, num_validation=5_000, num_test=5_000, noise=0.4
        )
    config.model.latent_dim = 16
    config.model.joint_hidden_sizes = (256,)
    config.model.networks.default.hidden_sizes = (256,)
    config.flow.max_log_scale = 2.0
    config.joint.num_steps = 4_000
    config.unimodal.num_steps = 4_000
    config.evaluation.num_tuples = 5_000
    return config
