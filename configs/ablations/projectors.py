"""What flows condition on: pixels, contrastive projectors, or those of DCCA.

    python -m jnf_jax.sweep --config configs/ablations/projectors.py \\
        --workdir runs/projectors

On the digits and on circles and squares without private noise, three configs each, on
one joint VAE a data set; all are the configs as they stand. The amount of noise is
`private_noise.py`'s.

One seed, coherence from one modality: digits .67 (pixels), .81 (contrastive), .80
(DCCA), ceiling .85; circles and squares .88, .92, .94, ceiling 1.00. Held-out log q_j
is worse with projectors on both: by 7 to 10 nats on the digits, by 2 to 4 on the toy.
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
