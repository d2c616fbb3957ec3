"""JNF on Translated PolyMNIST with the networks of polymnist/jnf_paper_cpu.

    python -m jnf_jax.train --config translated_polymnist/jnf_cpu \\
        --config.data.backgrounds_dir=DIR --workdir runs/translated_polymnist/jnf_cpu

Not run as it stands. A negative result: stage ``joint`` alone with half the steps
(``--config.joint.num_steps=20000``, 66 minutes of one core, one seed) learnt the
backgrounds and no digit. The classifiers read every picture they agree on as one class
(label entropy 0 nats, "ceiling" .21), so there is nothing for a prior to make coherent.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf_paper_cpu


def get_config() -> ml_collections.ConfigDict:
    """The same, but for the digits."""
    config = jnf_paper_cpu.get_config()
    config.data.scale = 0.75
    return config
