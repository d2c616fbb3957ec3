"""The tiny experiment that tests of whole programs share."""

from jnf_jax.configs.digits import jnf_paper as digits_jnf


def tiny_config(**changes):
    """Three 8 × 8 modalities, dense networks, a few steps; ``a__b=c`` sets a.b to c."""
    config = digits_jnf.get_config()
    config.unlock()
    config.data.update(image_size=8, repeats=1, validation_repeats=1, test_repeats=1)
    config.model.latent_dim = 4
    config.model.joint_hidden_sizes = (16,)
    config.model.networks.default = dict(
        kind="mlp", hidden_sizes=(16,), activation="sigmoid"
    )
    config.flow.hidden_sizes = (8,)
    config.sampler.update(num_transitions=4, num_adaptation=4)
    config.joint = dict(num_steps=20, batch_size=16)
    config.unimodal = dict(num_steps=20, batch_size=16)
    config.training.checkpoint_every = 10
    config.evaluation.update(
        num_prior_samples=100, num_tuples=50, batch_size=25, num_diagnostic_data=8
    )
    config.evaluation.classifier = dict(num_steps=10, batch_size=16)
    for name, value in changes.items():
        *path, last = name.split("__")
        section = config
        for part in path:
            section = section[part]
        section[last] = value
    return config.lock()
