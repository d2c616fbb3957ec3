"""Short-run Langevin chains: the number of steps that an energy is trained with.

    python -m jnf_jax.sweep --config ablations/langevin_steps \\
        --workdir runs/langevin_steps

An open question of arXiv 2409.19862: longer chains against quality and diversity. The
energy is fitted afterwards, on one joint VAE and one set of flows; draws take as many
steps as training (what other numbers give is in each record's
``coherence.joint_by_steps``). 2,000 steps of training instead of 4,000, and no subsets,
which do not see this prior; all else is digits/jnf_after:ebm. With ``--set
init.joint=…`` and ``--set init.unimodal=…`` another run's checkpoints are read.

One seed, latents whitened: joint coherence .79 and label entropy 2.23 nats whatever the
length (where the chains start .67, N(0, I) not whitened .53, ceiling .85). What the
length changes is whether the density itself agrees with the draws: long chains lie .24
from them in log variance after 15 steps (and have not quite converged: R-hat up to
1.10), .03 after 150; and draws of more steps than training had are more coherent and
less diverse (after 15, at 300: .86 and 2.11 nats), where 150 leave nothing to gain
(.79, 2.23).
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """15, 30, 60 and 150 steps."""
    about = "energy_priors.energy_after"
    config = ml_collections.ConfigDict(
        dict(
            base="digits/jnf_after:ebm",
            overrides=(
                ("prior.num_steps", 2_000),
                ("evaluation.subsets", "none"),
                ("evaluation.measures", "frechet"),
            ),
            axes=(("fitted_prior.num_steps", (15, 30, 60, 150)),),
            shares=("joint", "unimodal"),
            num_seeds=1,
            quantities=(
                "coherence.joint.normal",
                "coherence.joint.energy_after",
                "coherence.joint_entropy.energy_after",
                "frechet.frechet_classifier.unconditional.energy_after",
                f"{about}.gap_to_long_run.short_run.mean",
                f"{about}.gap_to_long_run.short_run.log_variance",
                f"{about}.long_run.rhat_max",
                "wall_seconds",
            ),
            plot=dict(
                x="fitted_prior.num_steps",
                y=(
                    "coherence.joint.energy_after",
                    "coherence.joint_entropy.energy_after",
                    f"{about}.gap_to_long_run.short_run.log_variance",
                ),
                log_x=True,
            ),
        )
    )
    return config.lock()
