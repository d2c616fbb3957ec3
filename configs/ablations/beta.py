"""β of the joint VAE on the digits: what its KL's weight does to coherence.

    python -m jnf_jax.sweep --config configs/ablations/beta.py --workdir runs/beta

Nothing is shared: β changes stage one. `beta_polymnist.py` and `beta_mnist_svhn.py`
are the same on other data. Not yet run.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """β of 0.5, 1 and 2.5; all else is configs/digits/jnf.py."""
    config = ml_collections.ConfigDict(
        dict(
            base="configs/digits/jnf.py",
            overrides=(),
            axes=(("model.beta", (0.5, 1.0, 2.5)),),
            shares=(),
            num_seeds=1,
            quantities=(
                "coherence.conditional.1",
                "coherence.conditional.2",
                "coherence.joint.normal",
                "coherence.joint_entropy.normal",
                "coherence.ceiling",
            ),
            plot=dict(
                x="model.beta",
                y=(
                    "coherence.conditional.1",
                    "coherence.joint.normal",
                    "coherence.ceiling",
                ),
                log_x=True,
            ),
        )
    )
    return config.lock()
