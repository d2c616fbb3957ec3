"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_whole(path: str | os.PathLike, content: str | bytes) -> Path:
    """Writes text (UTF-8) or bytes through a file beside ``path``; makes its folder.

    Where that fails nothing new is left beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
