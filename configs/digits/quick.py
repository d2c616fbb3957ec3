"""JNF on the digits for a first run: from nothing to a table and pictures in minutes.

    python -m jnf_jax.train --config digits/quick --workdir runs/digits

The networks of the joint VAE are those of digits/jnf; it takes 2,300 steps at twice the
rate instead of 5,000. One flow for every subset takes the place of unimodal flows and
chains. Fewer draws are judged, hence protocol v1-small-custom.

Seed 0, by hand at 6bfcb1b on two cores shared with other work, in no record: coherence
.588 / .749 from 1 / 2 modalities, .831 jointly from q(z|∅), ceiling .796; 211 seconds.
The ceiling binds: digits/jnf has .733 / .837, ceiling .856. It is meant to come within
.05 of digits/jnf_paper (.66 / .81) in a third of its time, which it does not from one
modality.
"""

import ml_collections

from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, amortised subsets."""
    config = jnf.get_config()
    with config.unlocked():
        config.subset_posterior.hidden_sizes = (256, 256)
        config.optimizer.update(learning_rate=2e-3, warmup_steps=100)
        config.joint = dict(num_steps=2_300, batch_size=64)
        config.subsets.update(
            num_steps=3_000, learning_rate=5e-3, gradient_clip=50.0, ema_decay=0.995
        )
        config.training.evaluate_every = 500
        config.evaluation.num_prior_samples = 2_000
        config.evaluation.num_diagnostic_data = 32
        config.evaluation.classifier.num_steps = 800
    return config
