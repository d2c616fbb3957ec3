"""JNF on handwriting + trajectory + speech, within a coffee break of two CPU cores.

    python -m jnf_jax.train --config configs/handwriting/jnf_cpu.py \\
        --config.data.data_dir=DIR --workdir runs/handwriting/jnf_cpu

Half the latent of `jnf.py`; perceptrons where that has convolutions, and a narrower
Transformer for the pen; small batches, for updates are what is short. Needs the extra
`audio` (librosa). Nothing was tuned. Not yet run.
"""

import ml_collections

from configs.handwriting import jnf


def get_config() -> ml_collections.ConfigDict:
    """Cheaper networks, fewer updates of smaller batches."""
    config = jnf.get_config()
    config.model.latent_dim = 32
    config.model.joint_hidden_sizes = (256,)
    for name in ("image", "speech"):
        config.model.networks[name].update(kind="mlp", features=())
    config.model.networks.trajectory.features = (32, 32)
    config.joint = dict(num_steps=4_000, batch_size=32)
    config.unimodal = dict(num_steps=1_500, batch_size=64)
    config.evaluation.classifier.num_steps = 1_500
    return config
