"""Three 8 × 8 modalities of the digits, dense networks: seconds to train."""

from configs.digits import jnf


def get_config():
    """Small, and in float32 nothing that a change of summation order could amplify."""
    config = jnf.get_config()
    config.unlock()
    config.data.update(image_size=8, num_modalities=3, repeats=1)
    config.data.update(validation_repeats=1, test_repeats=1)
    config.model.latent_dim = 4
    config.model.joint_hidden_sizes = (16,)
    config.model.networks.default = dict(
        kind="mlp", hidden_sizes=(16,), activation="sigmoid"
    )
    config.flow.hidden_sizes = (8,)
    config.sampler.update(num_transitions=4, num_adaptation=4)
    config.training.update(checkpoint_every=20, log_every=10)
    # 180 validation tuples are 15 batches of 12, on one device and on four.
    config.joint = dict(num_steps=40, batch_size=12)
    config.unimodal = dict(num_steps=40, batch_size=12)
    config.evaluation.update(
        num_prior_samples=40, num_tuples=40, batch_size=20, num_diagnostic_data=8
    )
    config.evaluation.classifier = dict(num_steps=40, batch_size=16)
    return config.lock()
