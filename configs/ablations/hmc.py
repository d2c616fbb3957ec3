"""Step size and number of leapfrog steps of HMC on products of experts.

    python -m jnf_jax.sweep --config ablations/hmc --workdir runs/hmc

Evaluation only: both stages are trained once, or read from a run of digits/jnf_paper by
``--set init.joint=runs/digits/checkpoints/joint`` and ``--set
init.unimodal=runs/digits/checkpoints/unimodal``. The trajectory is of fixed length, the
step size is not adapted, and there are 100 transitions as in that config: more leapfrog
steps cost more. The first 500 test tuples.

Of one seed, given m0 and m1: with a step of 0.1 and 30 leapfrog steps chains agree best
(R-hat above 1.05 in 5 % of data and dimensions; in 56 % at 0.05, in 85 % and more with
10 or 3 of them). At 0.2 two thirds and more of the proposals are rejected, at 0.4 all,
and coherence falls from .81 to that of one expert, .67.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """Four step sizes by three lengths; all else is digits/jnf_paper."""
    config = ml_collections.ConfigDict(
        dict(
            base="digits/jnf_paper",
            overrides=(
                ("sampler.kernel", "hmc"),
                ("sampler.num_adaptation", 0),
                ("evaluation.num_tuples", 500),
                ("evaluation.num_prior_samples", 1_000),
            ),
            axes=(
                ("sampler.num_leapfrog", (3, 10, 30)),
                ("sampler.initial_step_size", (0.05, 0.1, 0.2, 0.4)),
            ),
            shares=("joint", "unimodal"),
            num_seeds=1,
            quantities=(
                "coherence.conditional.2",
                "sampler.subsets.m0+m1.acceptance",
                "sampler.subsets.m0+m1.rhat_max",
                "sampler.subsets.m0+m1.share_unconverged",
                "sampler.subsets.m0+m1.ess_min",
                "evaluation_seconds",
            ),
            plot=dict(
                x="sampler.initial_step_size",
                y=(
                    "coherence.conditional.2",
                    "sampler.subsets.m0+m1.acceptance",
                    "sampler.subsets.m0+m1.share_unconverged",
                ),
                log_x=True,
            ),
        )
    )
    return config.lock()
