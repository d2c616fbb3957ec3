"""The gain of projectors as private noise grows: circles and squares with waves.

    python -m jnf_jax.sweep --config ablations/private_noise --workdir runs/noisy

One joint VAE an amount of noise. One seed: all have .99 or more up to 0.3; at 0.45 JNF
falls to .92, with projectors of DCCA to .95, contrastive ones to .97, ceiling .97.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Four amounts, three configs of circles_squares/noisy."""
    config = ml_collections.ConfigDict(
        dict(
            base="circles_squares/noisy:{projectors}",
            overrides=(),
            axes=(
                ("projectors", ("jnf", "shared_cl", "shared_dcca")),
                ("data.noise", (0.0, 0.15, 0.3, 0.45)),
            ),
            shares=("joint",),
            num_seeds=1,
            quantities=("coherence.conditional.1", "coherence.ceiling"),
            plot=dict(
                x="data.noise",
                y=("coherence.conditional.1", "coherence.ceiling"),
                log_x=False,
            ),
        )
    )
    return config.lock()
