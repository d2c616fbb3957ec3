"""Train states in checkpoints: saved, and found again by a run of the same identity."""

import re
import warnings
from pathlib import Path
from typing import Any

from jnf_jax import checkpoint
from jnf_jax.runtime import processes
from jnf_jax.training.train_step import TrainState


def save_state(
    directory: Path,
    state: TrainState,
    *,
    field: str,
    seconds: float,
    position: dict[str, Any] | None,
    identity: dict[str, Any],
    keep: int,
) -> Path:
    """Writes ``state`` so that ``restore_state`` finds it.

    Args:
      directory: of the stage's checkpoints.
      state: at a step where everything in it is finite.
      field: which of its fields later stages read: the item ``params``. The other ones
        are the item ``train_state``, so nothing is stored twice.
      seconds: wall time of training so far.
      position: in the data, JSON-able; None where the step says it.
      identity: JSON-able; what another run must share to resume from here.
      keep: see ``checkpoint.save``.

    Returns:
      The checkpoint.
    """
    return checkpoint.save(
        directory,
        int(state.step),
        getattr(state, field),
        state._replace(**{field: None}),
        {"identity": identity, "seconds": seconds, "position": position},
        keep=keep,
    )


def restore_state(
    directory: Path,
    like: TrainState,
    *,
    field: str,
    identity: dict[str, Any],
    sharding: TrainState,
) -> tuple[TrainState | None, float, dict[str, Any] | None]:
    """Reads the newest intact state below ``directory``.

    Args:
      directory: of the stage's checkpoints; may be missing.
      like: its shapes and dtypes, as from ``jax.eval_shape``.
      field: as in ``save_state``.
      identity: of this run, as JSON gives it back.
      sharding: where each leaf goes, whatever it was saved from.

    Returns:
      The state, the seconds spent on it and its position in the data; None, 0.0 and
      None where there is no state. Leaves may share memory with the reader's buffers:
      copy before donating.

    Warns:
      UserWarning: names each damaged checkpoint that was passed over.

    Raises:
      ValueError: the checkpoint is of another identity, listing what differs, or does
        not fit ``like``; the processes of this run do not find the same one.
    """
    path, damaged = checkpoint.newest_intact(directory)
    for _, reason in damaged:
        warnings.warn(f"{reason}; resuming from {path or 'step 0'}", stacklevel=2)
    step = -1 if path is None else checkpoint.read_step(path)
    processes.require_same(f"the step of the newest checkpoint in {directory}", step)
    if path is None:
        return None, 0.0, None
    stored = checkpoint.read_metadata(path)
    check_identity(path, stored["identity"], identity)
    selected = checkpoint.restore_params(
        path, getattr(like, field), sharding=getattr(sharding, field)
    )
    rest = checkpoint.restore_train_state(
        path,
        like._replace(**{field: None}),
        sharding=sharding._replace(**{field: None}),
    )
    state = rest._replace(**{field: selected})
    return state, stored["seconds"], stored.get("position")


ADDED = re.compile(r"(config\.)?data\.(shapes|dtypes)\.")
"""Entries that identities of earlier versions lack; then checksums alone tell."""


def check_identity(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises ValueError listing every key in which two identities differ.

    Args:
      path: the checkpoint, for the message.
      stored: its identity.
      wanted: that of this run.
    """
    stored, wanted = _flatten(stored), _flatten(wanted)
    lines = [
        f"{name}: checkpoint {stored.get(name, 'nothing')!r}, now "
        f"{wanted.get(name, 'nothing')!r}"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name, "nothing") != wanted.get(name, "nothing")
        and not (ADDED.match(name) and name not in stored)
    ]
    if lines:
        raise ValueError(
            f"{path.parent} holds another config: use another workdir, or the config "
            "that it was made with. They differ in\n  " + "\n  ".join(lines)
        )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON as dotted keys."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat
