"""What flows condition on: pixels, contrastive projectors, or those of DCCA.

    python -m jnf_jax.sweep --config configs/ablations/projectors.py \\
        --workdir runs/projectors

On the digits and on circles and squares without private noise, three configs each, on
one joint VAE a data set; all are the configs as they stand. The amount of noise is
`private_noise.py`'s. Not yet run.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configs of two folders; both data sets have coherence from one modality."""
    config = ml_collections.ConfigDict(
        dict(
            base="configs/{data}/{projectors}.py",
            overrides=(),
            axes=(
                ("data", ("digits", "circles_squares")),
                ("projectors", ("jnf", "jnf_shared_cl", "jnf_shared_dcca")),
            ),
            shares=("joint",),
            num_seeds=1,
            quantities=(
                "coherence.conditional.1",
                "coherence.ceiling",
                "wall_seconds",
            ),
            plot=dict(
                x="projectors",
                y=("coherence.conditional.1", "coherence.ceiling"),
                log_x=False,
            ),
        )
    )
    return config.lock()
