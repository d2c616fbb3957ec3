"""JNF on circles and squares, the toy set of arXiv 2502.03952: what a flow adds.

    python -m jnf_jax.train --config circles_squares/jnf --workdir runs/toy/jnf

Latent of two dimensions, MLPs, 15 epochs a stage, two MADE blocks (the paper's sizes;
its likelihood is not known to us, ours is Bernoulli).

``:gaussian`` has no flow: Gaussian posteriors against the same joint encoder. log
q_m(z|x_m) can be compared only under one joint encoder, hence ``init.joint``:

    python -m jnf_jax.train --config circles_squares/jnf:gaussian \\
        --workdir runs/toy/jnf_gaussian \\
        --config.init.joint=runs/toy/jnf/checkpoints/joint

`examples/circles_squares.py` draws both.
"""

import ml_collections

from jnf_jax.configs import base

ARGUMENTS = {"gaussian": "without a flow: Gaussian posteriors"}

STEPS_PER_EPOCH = 140_000 // 128


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """JNF with two MADE blocks."""
    config = base.get_config()
    config.data = dict(
        name="circles_squares",
        placement="auto",
        seed=42,
        num_train=140_000,
        num_validation=30_000,
        num_test=30_000,
    )
    config.model = dict(
        compute_dtype="float32",
        latent_dim=2,
        beta=1.0,
        alpha=0.1,
        joint_hidden_sizes=(512,),
        head_size=0,
        likelihood_rescaling=False,
        networks=dict(
            default=dict(kind="mlp", hidden_sizes=(512,), activation="identity")
        ),
        likelihoods=dict(default=dict(name="bernoulli", weight=1.0)),
    )
    config.optimizer.schedule = "cosine"
    config.joint = dict(num_steps=15 * STEPS_PER_EPOCH, batch_size=128)
    config.unimodal = dict(num_steps=15 * STEPS_PER_EPOCH, batch_size=128)
    config.evaluation.num_tuples = 10_000
    if argument == "gaussian":
        config.flow.num_blocks = 0
    config.lock()
    return config
