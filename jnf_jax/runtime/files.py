"""A user's paths, tried before work is done; files that are whole, or were changed."""

import contextlib
import io
import json
import lzma
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def user_path(path: str | os.PathLike, argument: str) -> Path:
    """A path that a user gave as ``argument``; "~" is a home directory wherever it is.

    Raises:
        ValueError: It is empty, an object store's, or nobody has that home directory.
    """
    text = os.fspath(path)
    if not text.strip() or "\0" in text:
        raise ValueError(f"`{argument}` is {text!r}, expected a path")
    # As a path, "gs://bucket" would be a folder "gs:" beside the program.
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", text):
        raise ValueError(
            f"`{argument}` is {text!r}, expected a path of a file system: mount the "
            "store (gcsfuse does it for gs://), or copy to it and from it yourself"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"`{argument}` is {text!r}, expected a path of an existing home directory, "
            "or one without '~'"
        ) from error


def new_folder(path: str | os.PathLike, argument: str) -> Path:
    """``user_path`` of a folder to write to, which may be there if it is empty.

    Raises:
        ValueError: As ``user_path``; something is there.
    """
    folder = user_path(path, argument)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`{argument}` {folder} exists, expected a new or empty one")
    return folder


def try_folder(folder: Path, argument: str) -> None:
    """Tries whether files can be written below ``folder``, and leaves nothing there.

    Raises:
        OSError: They cannot; names ``argument``, which the user has to change.
    """
    with _named(folder, argument):
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is no folder")
        with tempfile.TemporaryFile(dir=there):
            pass


def try_file(path: Path, argument: str) -> None:
    """Tries whether a file can be written at ``path``; errors are ``try_folder``'s."""
    with _named(path, argument):
        if path.is_dir():
            raise IsADirectoryError("it is a folder, expected a file")
    try_folder(path.parent, argument)


@contextlib.contextmanager
def _named(path: Path, argument: str) -> Iterator[None]:
    """What the file system says, with the argument and its value before it."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise OSError(f"`{argument}` {path} cannot be written: {why}") from error


def write_whole(
    path: str | os.PathLike, content: str | bytes | Callable[[BinaryIO], Any]
) -> Path:
    """Writes text (UTF-8), bytes, or what a function writes to a binary file.

    The folder is made. Where that fails nothing new is left beside ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content if isinstance(content, bytes) else content.encode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def npz(arrays: Mapping[str, Any]) -> bytes:
    """A compressed .npz; unlike ``numpy.savez``'s, its arrays may have any name."""
    import numpy as np  # the programs' first line need not wait for it

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return stream.getvalue()


def read_json(path: str | os.PathLike, **fields: type) -> dict[str, Any]:
    """The object in a file, which has each of ``fields``, of that type.

    Raises:
        ValueError: No JSON, no object, a name twice, or a field that is missing or of
            another type: in one line that begins with the path.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"it names {twice!r} twice")
        return found

    try:
        text = Path(path).read_text(encoding="utf-8")
        found = json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, expected an object")
    for name, kind in fields.items():
        if not isinstance(found.get(name), kind):
            got = repr(found[name]) if name in found else "missing"
            raise ValueError(f"{path}: `{name}` is {got}, expected {kind.__name__}")
    return found


_UNREADABLE = (
    *(ValueError, EOFError, TypeError, KeyError, SyntaxError, zipfile.BadZipFile),
    *(zlib.error, lzma.LZMAError, struct.error),
    RuntimeError,  # an archive that is encrypted, or of an unknown compression
    MemoryError,  # a header that claims a size beyond all memory
)
"""What numpy and zipfile raise of a file that is not what they were told it is."""


def read_arrays(path: str | os.PathLike) -> Any:
    """The array of a .npy, or {name: array} of a .npz; pickles are not opened.

    Raises:
        ValueError: It is neither, is damaged, or holds objects.
    """
    import numpy as np  # see `npz`

    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            if len(set(found.files)) < len(found.files):
                raise ValueError("it names an array twice")
            return dict(found)
    except _UNREADABLE as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} is damaged, or no .npy or .npz of arrays of numbers: {told}"
        ) from error
