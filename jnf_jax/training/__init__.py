"""One trainer for every stage: pure steps, exact resume, checks on the way.

from jnf_jax.training import Stage, TrainSettings, train
"""

from jnf_jax.stage import Stage
from jnf_jax.training.optimizers import TrainSettings
from jnf_jax.training.trainer import TrainResult, choose_steps_per_dispatch, train

__all__ = [
    "Stage",
    "TrainResult",
    "TrainSettings",
    "choose_steps_per_dispatch",
    "train",
]
