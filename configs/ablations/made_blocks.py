"""How many MADE blocks a posterior needs: 0 (a Gaussian) to 4, on one joint VAE.

    python -m jnf_jax.sweep --config ablations/made_blocks --workdir runs/made_blocks

``--set init.joint=runs/digits/checkpoints/joint`` reads the joint VAE of a run of
digits/jnf_paper instead of training one. Held-out log q_j(z|x_j) compares the
posteriors alone, coherence what is generated from them.

One seed: a first block raises log q_0(z|x_0) from -17.4 to -12.4 nats, the second adds
0.3, the third and fourth 0.1 together. Coherence follows less: .65 / .81 from one / two
modalities with none, .66 to .68 / .81 with any, the 95 % intervals of which overlap.

    python -m jnf_jax.sweep --config ablations/made_blocks:polymnist \\
        --set data.backgrounds_dir=DIR --workdir runs/made_blocks_polymnist

is the same on polymnist/jnf_paper_cpu, within the CPU budget. Not yet run.
"""

import ml_collections

ARGUMENTS = {"polymnist": "on PolyMNIST within the CPU budget"}


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """All else is digits/jnf_paper, or polymnist/jnf_paper_cpu."""
    config = ml_collections.ConfigDict(
        dict(
            base="digits/jnf_paper",
            overrides=(),
            axes=(("flow.num_blocks", (0, 1, 2, 3, 4)),),
            shares=("joint",),
            num_seeds=1,
            quantities=(
                "coherence.conditional.1",
                "coherence.conditional.2",
                "coherence.ceiling",
                "unimodal_log_prob.m0",
                "unimodal_log_prob.m1",
                "unimodal_log_prob.m2",
                "wall_seconds",
            ),
            plot=dict(
                x="flow.num_blocks",
                y=(
                    "coherence.conditional.1",
                    "coherence.conditional.2",
                    "unimodal_log_prob.m0",
                ),
                log_x=False,
            ),
        )
    )
    if argument == "polymnist":  # five modalities
        config.base = "polymnist/jnf_paper_cpu"
        sizes = tuple(f"coherence.conditional.{size}" for size in (1, 2, 3, 4))
        log_probs = tuple(f"unimodal_log_prob.m{m}" for m in range(5))
        config.quantities = (*sizes, "coherence.ceiling", *log_probs, "wall_seconds")
        config.plot.y = (sizes[0], sizes[-1], log_probs[0])
    return config.lock()
