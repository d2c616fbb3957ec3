"""JNF on handwriting + trajectory + speech, within a quarter of an hour of one core.

    python -m jnf_jax.train --config handwriting/jnf_cpu \\
        --config.data.data_dir=DIR --workdir runs/handwriting/jnf_cpu

One seed: image to speech .72 and trajectory .53, speech to image .38 and trajectory
.29, trajectory to image .78 and speech .73; from the two others speech .84, trajectory
.69, image .86. Ceiling .75. No training heard the test's speaker.

Half the latent of handwriting/jnf; perceptrons in place of its convolutions and
Transformer. Needs the extra `audio` (librosa). A Transformer for the pen of widths (32,
32) had learnt no stroke after 4,000 steps of batches of 32: trajectories were read at
chance, and given image and speech the chains of a third of the data diverged (the
config of d5b36d0, in no record).
"""

import ml_collections

from jnf_jax.configs.handwriting import jnf


def get_config() -> ml_collections.ConfigDict:
    """Cheaper networks, fewer updates."""
    config = jnf.get_config()
    config.model.latent_dim = 32
    config.model.joint_hidden_sizes = (256,)
    for name in ("image", "speech", "trajectory"):
        config.model.networks[name].update(kind="mlp", features=())
    config.model.networks.trajectory.hidden_sizes = (512, 512)
    config.joint.num_steps = 10_000
    config.unimodal.num_steps = 6_000
    config.evaluation.classifier.num_steps = 1_500
    return config
