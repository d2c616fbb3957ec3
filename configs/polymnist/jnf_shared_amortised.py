"""JNF-Shared on PolyMNIST with one flow for every subset, which reads both.

    python -m jnf_jax.train --config polymnist/jnf_shared_amortised:cl_cpu \\
        --workdir runs/polymnist/jnf_shared_amortised_cl \\
        --config.data.backgrounds_dir=DIR

The flow reads embeddings of what the modalities share, beside the heads of the joint
encoder. Stage ``joint`` is that of polymnist/jnf_paper_cpu, stage ``shared`` that of
polymnist/jnf_shared: ``--config.init.joint=DIR``, ``--config.init.shared=DIR``.

Numbers of this config, beside products on the same joint VAE: docs/results.md. How it
was chosen, all with projectors learnt by contrast, one seed and one run of the joint
VAE, whose ceiling is .51; coherence of 1,000 tuples, from 1 / 2 / 3 / 4 modalities. The
first three by hand on the way from eb1bf87 to cc4c03a, the others at edc69fb:

========================================  ===============  =========================
flow                                      validation loss  coherence
========================================  ===============  =========================
3 blocks of 3 × 128, 20,000 updates       7.6 nats         .712 / .753 / .762 / .767
… with a linear path                      7.7 nats         .735 / .768 / .783 / .788
… and blocks of 2 × 512, 14,000 updates   6.5 nats         .744 / .777 / .804 / .795
… 30,000 updates                          5.4 nats         .761 / .795 / .810 / .808
5 blocks, 50 components, 20,000 updates   5.0 nats         .767 / .802 / .811 / .815
========================================  ===============  =========================

Draws from q(z|X) itself, given all five, show the right digit in .841 of the pictures
(by hand at 08c1d32): little is left to gain given four modalities. ``:dcca_cpu`` is not
yet run.
"""

import ml_collections

from jnf_jax.configs.polymnist import jnf_cpu, jnf_shared

ARGUMENTS = {
    name: line for name, line in jnf_shared.ARGUMENTS.items() if name.endswith("_cpu")
}


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Projectors of polymnist/jnf_shared, subsets of polymnist/jnf_cpu."""
    return jnf_cpu.amortised(jnf_shared.get_config(argument))
