"""JNF-Shared on PolyMNIST with one flow for every subset, which reads both.

    python -m jnf_jax.train --config polymnist/jnf_shared_amortised:cl_cpu \\
        --workdir runs/polymnist/jnf_shared_amortised_cl \\
        --config.data.backgrounds_dir=DIR

The flow reads embeddings of what the modalities share, beside the heads of the joint
encoder. Stage ``joint`` is that of polymnist/jnf_paper_cpu, stage ``shared`` that of
polymnist/jnf_shared: ``--config.init.joint=DIR``, ``--config.init.shared=DIR``.

Coherence of ``--config.evaluation.num_tuples=1000``, by hand on the way from eb1bf87 to
cc4c03a, one seed, all on one run of the joint VAE, whose ceiling is .51. Differences
between the rows of flows and of jnf_divisor have paired standard errors of .003 to .004
given one to three views, of .007 to .008 given four. ``:cl_cpu`` was given 14,000
updates, not its 20,000; ``:dcca_cpu`` is not yet run.

==================================  =============================  =================
config                              coherence from 1 / 2 / 3 / 4   log q, one, nats
==================================  =============================  =================
``:cl_cpu``                         .744 / .777 / .804 / .795      −37
blocks of three times 128 units     .735 / .768 / .783 / .788      −38
… and without the linear path       .712 / .753 / .762 / .767      −38
jnf_divisor:shared_cl_cpu           .725 / .787 / .795 / .775      −70
jnf_paper_cpu:gaussian              .494 / .738 / .764 / .818      −84
jnf_cpu                             .575 / .367 / .259 / .189      −51
==================================  =============================  =================

Gaussian experts are ahead given four views, where 93 % of their quotients are no
density and the undivided product, which is narrower, takes their place. Chains on the
quotients of jnf_cpu wander off: draws of 89 to 100 % of the tuples grow as long as a
chain runs. Chains of older records, with diagonal masses, had .59 / .70 / .71 / .74: we
think that they moved too slowly to get there.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf_cpu, jnf_shared

ARGUMENTS = {
    name: line for name, line in jnf_shared.ARGUMENTS.items() if name.endswith("_cpu")
}


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Projectors of polymnist/jnf_shared, subsets of polymnist/jnf_cpu."""
    return jnf_cpu.amortised(jnf_shared.get_config(argument))
