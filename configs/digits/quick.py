"""JNF on the digits for a first run: from nothing to a table and pictures in minutes.

    python -m jnf_jax.train --config digits/quick --workdir runs/digits

Half the features of digits/jnf in every convolution, narrower flows, 2,500 + 1,000
steps instead of 5,000 + 2,500 at twice the learning rate; 30 transitions of the chains
instead of 100, fewer draws and data to diagnose them, hence protocol v1-small-custom.
Not yet confirmed: neither its coherence nor its time beside digits/jnf. On seed 0 the
bound of the joint VAE was −312 nats after 2,000 steps of this kind, where digits/jnf
has −324 after 1,258 and −459 at its end. Dense networks of 256 with latent 12 take half
the time a step, but after 3,000 of them the ceiling was .69, where digits/jnf has .86.
"""

import ml_collections

from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, with half the features and half the steps of digits/jnf."""
    config = jnf.get_config()
    with config.unlocked():
        config.model.networks.default.features = (16, 32)
        config.flow.hidden_sizes = (64, 64)
        config.sampler.update(num_transitions=30, num_adaptation=50)
        config.optimizer.update(learning_rate=2e-3, warmup_steps=100)
        config.joint = dict(num_steps=2_500, batch_size=64)
        config.unimodal = dict(num_steps=1_000, batch_size=64)
        config.training.evaluate_every = 1_000
        config.evaluation.num_prior_samples = 2_000
        config.evaluation.num_diagnostic_data = 32
        config.evaluation.classifier.num_steps = 800
    return config
