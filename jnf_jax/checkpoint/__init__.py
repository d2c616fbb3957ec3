"""Checkpoints: complete, or named as damaged; restored strictly."""

from jnf_jax.checkpoint.manifest import DamagedCheckpointError
from jnf_jax.checkpoint.store import (
    checkpoint_id,
    find,
    newest_intact,
    read_metadata,
    read_step,
    resolve,
    restore_params,
    restore_train_state,
    save,
)

__all__ = [
    "DamagedCheckpointError",
    "checkpoint_id",
    "find",
    "newest_intact",
    "read_metadata",
    "read_step",
    "resolve",
    "restore_params",
    "restore_train_state",
    "save",
]
