"""What configs have in common; the other files say what they change."""

from jnf_jax.experiments.options import base as get_config  # noqa: F401
