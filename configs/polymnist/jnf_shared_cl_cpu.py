"""JNF-Shared (CL) on PolyMNIST, on two CPU cores, beside `jnf_cpu.py`.

    python -m jnf_jax.train --config configs/polymnist/jnf_shared_cl_cpu.py \\
        --workdir runs/polymnist/jnf_shared_cl_cpu \\
        --config.data.backgrounds_dir=DIR \\
        --config.init.joint=runs/polymnist/jnf_cpu/checkpoints/joint

Stage ``joint`` is that of `jnf_cpu.py`; without ``init.joint`` it is trained here. The
flows take two or three minutes, for embeddings are cached. One seed, 1,000 test tuples:
coherence .74 from one modality, where `jnf_cpu.py` has .59 on the same joint VAE; but
.57 / .55 / .59 from 2 / 3 / 4, where that has .70 / .71 / .74. These experts come near
the average of q(z|X), which is not N(0, I), and are divided by powers of N(0, I): given
three modalities their bases leave no density for 86 % of the data (share_improper in
the record). `jnf_shared_cl_divisor_cpu.py` divides by that average.
"""

import ml_collections
from jnf_jax.configs.polymnist import jnf_cpu, jnf_shared_cl


def get_config() -> ml_collections.ConfigDict:
    """The projectors of `jnf_shared_cl.py`, fewer steps, on `jnf_cpu.py`."""
    config = jnf_shared_cl.with_projectors(jnf_cpu.get_config())
    config.projectors.posterior_hidden_sizes = (256, 256)
    with config.unlocked():
        config.shared = dict(num_steps=1_500, batch_size=512)
    return config
