"""Manifests: size and SHA-256 of every file of a checkpoint, written last.

What has no manifest was not finished, and what disagrees with it was damaged since.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


class DamagedCheckpointError(ValueError):
    """A checkpoint whose files are missing, truncated or altered."""


def write_manifest(path: Path, step: int, params_sha256: str) -> None:
    """Writes ``manifest.json`` for every file below ``path``, by atomic rename.

    Every file is synced to disk first, so that a manifest never vouches for data that a
    power cut can still lose.

    Args:
      path: the checkpoint, complete but for its manifest.
      step: recorded.
      params_sha256: recorded; see ``checkpoint.checkpoint_id``.
    """
    files = {}
    for file in sorted(path.rglob("*")):
        _sync(file)  # directories too: they hold the names
        if file.is_file():
            files[file.relative_to(path).as_posix()] = {
                "size": file.stat().st_size,
                "sha256": _hash_file(file),
            }
    body = {"step": step, "params_sha256": params_sha256, "files": files}
    temporary = path / "manifest.json.tmp"
    temporary.write_text(json.dumps(body | {"self_sha256": _hash_json(body)}, indent=1))
    _sync(temporary)
    os.replace(temporary, path / "manifest.json")
    _sync(path)
    _sync(path.parent)


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint: ``step``, ``params_sha256`` and ``files``.

    Raises:
      DamagedCheckpointError: it is missing, truncated or altered.
    """
    file = path / "manifest.json"
    if not file.is_file():
        raise DamagedCheckpointError(
            f"damaged checkpoint {path}: manifest.json is missing, so its writing was "
            "interrupted"
        )
    try:
        manifest = json.loads(file.read_text())
        claimed = manifest.pop("self_sha256")
    except (ValueError, KeyError, AttributeError, TypeError):
        claimed = manifest = None
    if manifest is None or _hash_json(manifest) != claimed:
        raise DamagedCheckpointError(
            f"damaged checkpoint {path}: manifest.json is truncated or altered"
        )
    return manifest


def verify(path: Path, *, hashes: bool = True) -> None:
    """Compares every file of a checkpoint with its manifest.

    Args:
      path: the checkpoint.
      hashes: False compares sizes only.

    Raises:
      DamagedCheckpointError: names the first file that is missing or differs.
    """
    files = read_manifest(path)["files"]
    for name, expected in sorted(files.items()):
        file = path / name
        if not file.is_file():
            raise DamagedCheckpointError(
                f"damaged checkpoint {path}: {name} is missing"
            )
        size = file.stat().st_size
        if size != expected["size"]:
            raise DamagedCheckpointError(
                f"damaged checkpoint {path}: {name} has {size} bytes, its manifest "
                f"says {expected['size']}"
            )
        if hashes and _hash_file(file) != expected["sha256"]:
            raise DamagedCheckpointError(
                f"damaged checkpoint {path}: the SHA-256 of {name} is not the one in "
                "its manifest"
            )


def _hash_json(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
