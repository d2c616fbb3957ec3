"""JNF on digits in quadrants, where what is open has a right answer; no download.

    python -m jnf_jax.train --config quadrants/jnf --workdir runs/quadrants

The picture, its digit and its quadrant are three views. Given the quadrant all ten
digits are right, evenly, and given the digit all quadrants: measure
``label_distribution`` compares what is generated with that. One conditional flow
infers every subset. ``:mnist`` has MNIST's digits, 28 × 28 in 56 × 56
(``--config.data.data_dir=DIR``); not yet run.
"""

import ml_collections

from jnf_jax.configs import base

ARGUMENTS = {"mnist": "MNIST's digits instead of scikit-learn's"}


def get_config(argument: str = "") -> ml_collections.ConfigDict:
    """JNF, latent 16, perceptrons, amortised subsets."""
    config = base.get_config()
    config.data = dict(
        name="quadrants",
        placement="auto",
        seed=42,
        source=argument or "digits",
        validation_fraction=0.1,
        data_dir="",
        cache_dir="",
    )
    config.model = dict(
        compute_dtype="float32",
        latent_dim=16,
        beta=1.0,
        alpha=0.1,
        joint_hidden_sizes=(256,),
        head_size=16,
        likelihood_rescaling=False,
        networks=dict(
            default=dict(kind="mlp", hidden_sizes=(64,), activation="identity"),
            image=dict(kind="mlp", hidden_sizes=(256,), activation="identity"),
        ),
        likelihoods=dict(
            image=dict(name="bernoulli", weight=1.0),
            default=dict(name="categorical", weight=10.0),
        ),
    )
    config.stages = "joint,subsets"
    config.subset_posterior.update(name="amortised", hidden_sizes=(256, 256))
    config.flow.update(
        num_blocks=3,
        hidden_sizes=(128, 128),
        context_size=64,
        num_posterior_samples=2,
    )
    config.optimizer.schedule = "cosine"
    config.joint = dict(num_steps=5_000, batch_size=64)
    config.subsets = dict(
        num_steps=3_000,
        batch_size=256,
        learning_rate=2e-3,
        warmup_steps=200,
        ema_decay=0.995,
        select="last",
    )
    config.training.evaluate_every = 1_000
    config.evaluation.protocol = "v1-small"
    config.evaluation.measures = "label_distribution"
    config.evaluation.classifier.update(num_steps=600, batch_size=64, select="last")
    config.lock()
    return config
