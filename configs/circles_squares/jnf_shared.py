"""JNF-Shared on circles and squares: flows condition on projectors of what is shared.

    python -m jnf_jax.train --config circles_squares/jnf_shared:cl \\
        --workdir runs/toy/jnf_shared_cl \\
        --config.init.joint=runs/toy/jnf/checkpoints/joint

Stage ``joint`` is that of circles_squares/jnf; without ``init.joint`` it is trained
here. One seed, on the same joint VAE as a run of that config with a coherence of .88:

- cl: NT-Xent with τ = 0.1; coherence .92.
- dcca: one dimension, as the authors', for the one bit that is shared; coherence .94.
"""

import ml_collections

from jnf_jax.configs import projectors
from jnf_jax.configs.circles_squares import jnf

ARGUMENTS = projectors.ARGUMENTS


def get_config(argument: str) -> ml_collections.ConfigDict:
    """Joint VAE, flows and evaluation of circles_squares/jnf."""
    return with_projectors(jnf.get_config(), argument)


def with_projectors(
    config: ml_collections.ConfigDict, argument: str
) -> ml_collections.ConfigDict:
    """The same for the config of any JNF on this set."""
    own = dict(cl=dict(size=2, base_size=16), dcca=dict(size=1))
    return projectors.with_projectors(
        config,
        argument,
        posterior_hidden_sizes=(128, 128),
        shared=dict(num_steps=2_000, batch_size=512),
        **own[argument],
    )
