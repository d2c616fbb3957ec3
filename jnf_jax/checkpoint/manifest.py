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
    power cut can still lose. It records the step, and ``params_sha256`` for
    ``checkpoint.checkpoint_id``.
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
        told = "manifest.json is missing, so its writing was interrupted"
        raise _damaged(path, told)
    try:
        manifest = json.loads(file.read_text())
        claimed = manifest.pop("self_sha256")
    except (ValueError, KeyError, AttributeError, TypeError):
        claimed = manifest = None
    if manifest is None or _hash_json(manifest) != claimed:
        raise _damaged(path, "manifest.json is truncated or altered")
    return manifest


def verify(path: Path, *, hashes: bool = True, without: str = "") -> None:
    """Compares every file of a checkpoint with its manifest; without hashes, sizes.

    Those of the item ``without`` may be damaged or gone.

    Raises:
      DamagedCheckpointError: names the first file that is missing or differs.
    """
    files = read_manifest(path)["files"]
    for name, expected in sorted(files.items()):
        if without and name.startswith(f"{without}/"):
            continue
        file, size = path / name, expected["size"]
        if not file.is_file():
            raise _damaged(path, f"{name} is missing")
        if (found := file.stat().st_size) != size:
            told = f"{name} has {found} bytes, its manifest says {size}"
            raise _damaged(path, told)
        if hashes and _hash_file(file) != expected["sha256"]:
            told = f"the SHA-256 of {name} is not the one in its manifest"
            raise _damaged(path, told)


def _damaged(path: Path, why: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"damaged checkpoint {path}: {why}")


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
