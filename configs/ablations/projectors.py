"""Flows that condition on pixels, on contrastive projectors, or on those of DCCA.

    python -m jnf_jax.sweep --config ablations/projectors --workdir runs/projectors

On the digits and on circles and squares without private noise, three configs each, on
one joint VAE a data set; all are the configs as they stand. The amount of noise is
ablations/private_noise's.

One seed, coherence from one modality: digits .67 (pixels), .81 (contrastive), .80
(DCCA), ceiling .85; circles and squares .88, .92, .94, ceiling 1.00. Held-out log q_j
is worse with projectors on both: by 7 to 10 nats on the digits, by 2 to 4 on the toy.

    python -m jnf_jax.sweep --config ablations/projectors:polymnist \\
        --set data.backgrounds_dir=DIR --workdir runs/projectors_polymnist

is polymnist/jnf_paper_cpu and its two JNF-Shared siblings, as they stand, within the
CPU budget. ``:mnist_svhn`` has the authors' networks, for an accelerator: what one
digit tells. Both on one joint VAE, neither yet run.
"""

import ml_collections

ARGUMENTS = {
    "polymnist": "on PolyMNIST within the CPU budget",
    "mnist_svhn": "on MNIST–SVHN, for an accelerator",
}


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """The configs of two folders; both data sets have coherence from one modality."""
    config = ml_collections.ConfigDict(
        dict(
            base="{data}/{projectors}",
            overrides=(),
            axes=(
                ("data", ("digits", "circles_squares")),
                ("projectors", ("jnf", "jnf_shared:cl", "jnf_shared:dcca")),
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
    if argument == "mnist_svhn":
        config.base = "mnist_svhn/{projectors}"
        config.axes = config.axes[1:]
    if argument == "polymnist":  # five modalities
        config.base = "polymnist/{projectors}"
        names = ("jnf_paper_cpu", "jnf_shared:cl_cpu", "jnf_shared:dcca_cpu")
        config.axes = (("projectors", names),)
        sizes = tuple(f"coherence.conditional.{size}" for size in (1, 2, 3, 4))
        config.quantities = (*sizes, "coherence.ceiling", "wall_seconds")
    return config.lock()
