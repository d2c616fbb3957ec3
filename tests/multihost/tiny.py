"""The tiny experiment of `tests/tiny.py` for two processes of two devices each."""

from tests.tiny import tiny_config


def get_config():
    """In float32 nothing that a change of summation order could amplify."""
    return tiny_config(
        joint=dict(num_steps=40, batch_size=12),
        unimodal=dict(num_steps=40, batch_size=12),
        training__checkpoint_every=20,
        training__log_every=10,
        evaluation__num_prior_samples=40,
        evaluation__num_tuples=40,
        evaluation__batch_size=20,
        evaluation__classifier=dict(num_steps=40, batch_size=16),
    )
