"""Checkpoints that are complete or named as damaged; Orbax is hidden behind this file.

One directory a step, below one directory a stage::

    <directory>/00000500/params/        Orbax item: what later stages read
                         train_state/   Orbax item: the rest of what resuming needs
                         metadata.json  step and the caller's JSON metadata
                         manifest.json  size and SHA-256 of every file, written last

A checkpoint without a manifest, or whose files disagree with it, is *damaged*: resuming
falls back to the newest intact one (``newest_intact``), naming an explicit path is an
error (``resolve``). Orbax itself returns whatever was stored, or a placeholder, when a
leaf is missing or has another shape or dtype; ``restore_*`` compare every leaf first.
It is imported by the first that reads or writes: not before a run's first step.
"""

import contextlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jnf_jax.checkpoint import key_paths
from jnf_jax.checkpoint.manifest import (
    DamagedCheckpointError,
    read_manifest,
    verify,
    write_manifest,
)
from jnf_jax.runtime import processes

FORMAT = 1
_STEP_DIGITS = 8


def save(
    directory: Path,
    step: int,
    params: Any,
    train_state: Any,
    metadata: dict[str, Any],
    *,
    keep: int = 2,
) -> Path:
    """Writes one checkpoint, then deletes all but the newest ``keep`` complete ones.

    The manifest comes last, by atomic rename, after every file was synced to disk: a
    process killed at any moment leaves the older checkpoints untouched. All processes
    of a run call this, and see one file system: each writes what its devices hold, the
    first does the rest.

    Args:
      directory: the stage's directory; created when missing.
      step: number of optimiser steps taken; names the checkpoint.
      params: pytree of arrays that later stages read.
      train_state: pytree of arrays with everything else that resuming needs.
      metadata: JSON-able; given back by ``read_metadata``.
      keep: at least 1. Completeness of the older ones is judged by file sizes, not by
        hashing them again.

    Returns:
      The directory of the new checkpoint.

    Raises:
      ValueError: ``keep`` below 1 or a negative ``step``.
      OSError: the checkpoint could not be written, say because the disk is full. What
        was written of it is removed; the checkpoints before it stay.
    """
    if keep < 1 or step < 0:
        told = "expected `keep` >= 1 and `step` >= 0"
        raise ValueError(f"`keep` is {keep} and `step` is {step}, {told}")
    directory = Path(directory).absolute()
    path = directory / f"{step:0{_STEP_DIGITS}d}"
    items = {
        "params": key_paths.nest_tree(key_paths.flatten_tree(params)),
        "train_state": key_paths.nest_tree(key_paths.flatten_tree(train_state)),
    }
    record = json.dumps({"format": FORMAT, "step": step, "metadata": metadata})
    digest = key_paths.digest_tree(processes.to_host(params))

    def begin() -> None:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_step(directory, step)  # what a killed process left of it

    def finish() -> None:
        (path / "metadata.json").write_text(record)
        write_manifest(path, step, digest)

    try:
        processes.on_first(begin)
        _save_items(path, items)
        processes.on_first(finish)
    except (OSError, ValueError, RuntimeError) as error:  # TensorStore: ValueError
        if isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1:
            raise  # a collective: another process is lost, and no disk is full
        if processes.is_first():
            _remove_step(directory, step)
        last_good, _ = newest_intact(directory)
        raise OSError(
            f"could not write the checkpoint of step {step} to {path} (is the disk "
            f"full?); the last good one is {last_good}. Cause: {error}"
        ) from error
    processes.on_first(lambda: _prune(directory, keep))
    return path


def newest_intact(directory: Path) -> tuple[Path | None, list[tuple[Path, str]]]:
    """The newest checkpoint whose every file agrees with its manifest, None without.

    With it come ``(path, reason)`` of each damaged one that is newer. The directory of
    the stage may be missing or empty.
    """
    damaged: list[tuple[Path, str]] = []
    for path in _list_newest_first(directory):
        try:
            verify(path)
        except DamagedCheckpointError as error:
            damaged.append((path, str(error)))
        else:
            return path, damaged
    return None, damaged


def resolve(path: Path) -> Path:
    """The checkpoint that ``find`` finds, once its files were read.

    It is for reading its parameters: its train state need not be there.

    Raises:
      ValueError: nothing there, or (as ``DamagedCheckpointError``) it is damaged.
    """
    path = find(path)
    verify(path, without="train_state")
    return path


def find(path: Path) -> Path:
    """The checkpoint that ``path`` names: itself, or the newest below it; no fallback.

    Raises:
      ValueError: nothing there.
    """
    path = Path(path).absolute()
    if _step_of_name(path.name) is None or not path.is_dir():
        candidates = _list_newest_first(path)
        if not candidates:
            raise ValueError(
                f"no checkpoint at {path}: expected a directory named by its step, or "
                "one that holds such directories"
            )
        path = candidates[0]
    return path


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON metadata that ``save`` was given for the checkpoint at ``path``."""
    return json.loads((Path(path) / "metadata.json").read_text())["metadata"]


def read_step(path: Path) -> int:
    """The number of optimiser steps behind the checkpoint at ``path``."""
    return read_manifest(Path(path))["step"]


def checkpoint_id(path: Path) -> str:
    """16 hex digits of the SHA-256 of the parameters (names, dtypes, shapes, values).

    It depends on nothing else, so a run that is repeated bit for bit has the same one.
    """
    return read_manifest(Path(path))["params_sha256"][:16]


def restore_params(path: Path, like: Any, *, sharding: Any = None) -> Any:
    """Reads the parameters of a checkpoint, all of them and nothing else.

    ``like`` has the shapes and dtypes, as from ``jax.eval_shape``; it comes back with a
    ``jax.Array`` for each leaf. ``sharding`` says where every leaf goes, whatever it
    was saved from: one ``Sharding``, or a pytree of them; None is the first device.

    Raises:
      ValueError: lists each missing (+), superfluous (-) and different (≠) leaf.
      DamagedCheckpointError: a file is missing or altered.
    """
    return _restore(Path(path), "params", like, sharding)


def restore_train_state(path: Path, like: Any, *, sharding: Any = None) -> Any:
    """Reads the train state; arguments and errors as in ``restore_params``."""
    return _restore(Path(path), "train_state", like, sharding)


def _restore(path: Path, item: str, like: Any, sharding: Any) -> Any:
    import orbax.checkpoint as ocp

    path = path.absolute()
    verify(path, without="train_state" if item == "params" else "")
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    if isinstance(sharding, jax.sharding.Sharding):
        sharding = jax.tree.map(lambda _: sharding, like)
    wanted = {
        name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
        for (name, leaf), place in zip(
            key_paths.flatten_tree(like).items(), jax.tree.leaves(sharding), strict=True
        )
    }
    with _quiet_orbax():
        reader = ocp.Checkpointer(ocp.StandardCheckpointHandler())
        stored = key_paths.flatten_tree(reader.metadata(path / item).item_metadata.tree)
        key_paths.check_leaves(f"{item} of {path}", stored, wanted)
        tree = reader.restore(
            path / item, args=ocp.args.StandardRestore(key_paths.nest_tree(wanted))
        )
    leaves = key_paths.flatten_tree(tree)
    key_paths.check_leaves(f"{item} of {path}, as read", leaves, wanted)
    for name, leaf in leaves.items():
        if not isinstance(leaf, jax.Array):
            raise TypeError(
                f"{item} of {path}: {key_paths.join_path(name)} is {type(leaf)}"
            )
    read = [leaves[name] for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), read)


def _step_of_name(name: str) -> int | None:
    """Step of a checkpoint's name; Orbax writes under the same name plus a suffix."""
    head = name.split(".", 1)[0]
    return int(head) if len(head) >= _STEP_DIGITS and head.isdecimal() else None


def _list_newest_first(directory: Path) -> list[Path]:
    directory = Path(directory).absolute()
    folders = (
        [p for p in directory.iterdir() if p.is_dir()] if directory.is_dir() else []
    )
    steps = {p: step for p in folders if (step := _step_of_name(p.name)) is not None}
    return sorted(steps, key=lambda path: (steps[path], path.name), reverse=True)


def _save_items(path: Path, items: dict[str, Any]) -> None:
    """Saves with Orbax; has no thread writing any more when it returns or raises."""
    import orbax.checkpoint as ocp

    before = set(threading.enumerate())
    with _quiet_orbax():
        try:
            ocp.Checkpointer(ocp.CompositeCheckpointHandler()).save(
                path,
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardSave(x) for name, x in items.items()}
                ),
            )
        finally:
            # After a failure Orbax leaves its other threads running, which would create
            # again what is removed. (Pool workers, "asyncio_…", never end.)
            deadline = time.monotonic() + 10.0
            for thread in set(threading.enumerate()) - before:
                if not thread.name.startswith("asyncio"):
                    # Orbax's own join raises the thread's exception.
                    threading.Thread.join(thread, max(deadline - time.monotonic(), 0))


def _remove_step(directory: Path, step: int) -> None:
    for path in _list_newest_first(directory):
        if _step_of_name(path.name) == step:
            shutil.rmtree(path)


def _prune(directory: Path, keep: int) -> None:
    """Deletes all but the newest ``keep`` complete checkpoints."""
    for path in _list_newest_first(directory):
        try:
            verify(path, hashes=False)
            keep -= 1
        except DamagedCheckpointError:
            shutil.rmtree(path)
        else:
            if keep < 0:
                shutil.rmtree(path)


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """Orbax logs a traceback a thread for an error that we raise anyway."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
