"""JNF on the digits for a first run: from nothing to a table and pictures in minutes.

    python -m jnf_jax.train --config digits/quick --workdir runs/digits

Dense networks, a smaller latent and narrower flows instead of those of digits/jnf; 30
transitions of the chains instead of 100, fewer draws and data to diagnose them, hence
protocol v1-small-custom. Not yet confirmed: neither coherence nor time beside
digits/jnf. What was measured, seed 0, ceiling and joint coherence (there .86 and .52):
.69 and .50 for dense networks, latent 12, 3,000 joint steps at 3e-3; .52 and .28 for
convolutions of 16 and 32 features, latent 16, 2,000 steps at 2e-3, each of them twice
as expensive.
"""

import ml_collections

from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 10, dense networks."""
    config = jnf.get_config()
    with config.unlocked():
        config.model.latent_dim = 10
        config.model.networks.default = dict(
            kind="mlp", hidden_sizes=(256,), activation="sigmoid"
        )
        config.flow.hidden_sizes = (64, 64)
        config.sampler.update(num_transitions=30, num_adaptation=50)
        config.optimizer.update(learning_rate=2e-3, warmup_steps=100)
        config.joint = dict(num_steps=5_000, batch_size=64)
        config.unimodal = dict(num_steps=1_500, batch_size=64)
        config.training.evaluate_every = 500
        config.evaluation.num_prior_samples = 2_000
        config.evaluation.num_diagnostic_data = 32
        config.evaluation.classifier.num_steps = 800
    return config
