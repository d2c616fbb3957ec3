"""JNF on the digits for a first run: from nothing to a table and pictures in minutes.

    python -m jnf_jax.train --config digits/quick --workdir runs/digits

The networks are those of digits/jnf; the joint VAE takes 2,300 steps instead of 5,000,
the flows 1,200 instead of 2,500, chains 30 transitions instead of 100, and there are
fewer draws and fewer data to diagnose, hence protocol v1-small-custom.

Seed 0, by hand at cf648f3 on two busy cores, in no record: coherence .585 / .730 from
1 / 2 modalities, ceiling .796, where digits/jnf has .66 / .81 and .86 over three seeds;
251 s in all, 136 of them in stage joint. Other settings, coherence and ceiling of the
same seed: 3,600 steps of batch 32 at 1.5e-3 .576 / .726, .802; 1,800 steps at 3e-3
.589 / .725, .756. Ceiling alone: 2,000 steps at 2e-3 .795; dense networks (256), 5,000
steps, latent 12 .712; convolutions of 16 and 32 features, 2,000 steps .52. It is meant
to come within .05 of digits/jnf in a third of its time, which it does not yet.
"""

import ml_collections

from jnf_jax.configs.digits import jnf


def get_config() -> ml_collections.ConfigDict:
    """JNF, latent 16, as digits/jnf with fewer steps at twice the rate."""
    config = jnf.get_config()
    with config.unlocked():
        config.sampler.update(num_transitions=30, num_adaptation=50)
        config.optimizer.update(learning_rate=2e-3, warmup_steps=100)
        config.joint = dict(num_steps=2_300, batch_size=64)
        config.unimodal = dict(num_steps=1_200, batch_size=64, learning_rate=1e-3)
        config.training.evaluate_every = 500
        config.evaluation.num_prior_samples = 2_000
        config.evaluation.num_diagnostic_data = 32
        config.evaluation.classifier.num_steps = 800
    return config
