"""β of the joint VAE: what the weight of its KL does to coherence.

    python -m jnf_jax.sweep --config ablations/beta --workdir runs/beta

Nothing is shared: β changes stage one. Not yet run on the digits, nor on MNIST–SVHN
(``:mnist_svhn``), which needs all of SVHN.

    python -m jnf_jax.sweep --config ablations/beta:polymnist \\
        --set data.backgrounds_dir=DIR --workdir runs/beta_polymnist

Three runs of polymnist/jnf_paper_cpu, whose β is 1, with a seventh of its updates and
the first 500 test tuples, half an hour each on a busy core. One seed: from one / four
modalities .38 / .44 at β = 0.5, .42 / .60 at 1, .38 / .43 at 2.5; ceiling .33, .39,
.29; joint draws from N(0, I) .02 to .04.
"""

import ml_collections

ARGUMENTS = {
    "polymnist": "on PolyMNIST within the CPU budget",
    "mnist_svhn": "on MNIST–SVHN",
}


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """β of 0.5, 1 and 2.5; all else is digits/jnf_paper, or the data set's."""
    config = ml_collections.ConfigDict(
        dict(
            base="digits/jnf_paper",
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
    if argument == "polymnist":  # five modalities
        config.base = "polymnist/jnf_paper_cpu"
        config.overrides = (
            ("joint.num_steps", 6_000),
            ("unimodal.num_steps", 1_500),
            ("evaluation.num_tuples", 500),
        )
        sizes = tuple(f"coherence.conditional.{size}" for size in (1, 2, 3, 4))
        config.quantities = (*sizes, *config.quantities[2:])
    if argument == "mnist_svhn":  # two modalities: there is no coherence from two
        config.base = "mnist_svhn/jnf"
        config.quantities = tuple(
            path for path in config.quantities if path != "coherence.conditional.2"
        )
    return config.lock()
