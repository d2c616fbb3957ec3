"""Reads ``torch.save`` files, without torch and without unpickling.

Such a file holds raw storages and a pickle that says how they make tensors: a zip of
both since torch 1.6, one stream before. We never run that pickle: `pickletools`
disassembles it, a few opcodes rebuild its *description* out of tuples and dictionaries,
and anything but dense tensors is refused. All arrays that are returned are copies.
"""

import contextlib
import io
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE",
    "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip
_MADE = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "MARK": lambda: _MARK,
    "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "NONE": lambda: None,
}  # fmt: skip
_TAKEN = {
    "TUPLE": None, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3,
    "APPEND": 1, "APPENDS": None, "SETITEM": 2, "SETITEMS": None,
}  # fmt: skip
"""Opcode -> the entries that it takes from the stack; None: all above a mark."""
_REBUILD = ("global", "torch._utils _rebuild_tensor_v2")
_ORDERED_DICT = ("global", "collections OrderedDict")
_MARK = object()
_STREAM_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled magic number that opens a file of torch before 1.6."""

_Storages = Callable[[str], bytes]
"""Key of a storage -> its raw values, little endian."""


def load_tensor(path: Path) -> np.ndarray:
    """The tensor in a ``.pt`` file written by ``torch.save(tensor, path)``.

    Raises:
      ValueError: not such a file, or it holds anything but one dense tensor.
    """
    description, storages = _open(path)
    with _expecting(path, "one dense tensor"):
        return _tensor(description, storages)


def load_tensors(path: Path, within: str | None = None) -> dict[str, np.ndarray]:
    """The tensors in a file written by ``torch.save(module.state_dict(), path)``.

    With ``within`` the file holds a dictionary that has them under that name.

    Raises:
      ValueError: not such a file, or anything but names with dense tensors.
    """
    description, storages = _open(path)
    if within is not None:
        if not isinstance(description, dict) or within not in description:
            raise ValueError(f"{path}: expected a dictionary that has {within!r}")
        description = description[within]
    if not isinstance(description, dict):
        raise ValueError(f"{path}: expected names with tensors, as of a state_dict()")
    found = {}
    for name, entry in description.items():
        with _expecting(path, f"a dense tensor at {name!r}"):
            found[name] = _tensor(entry, storages)
    return found


def load_tuple(path: Path) -> list[np.ndarray | None]:
    """The tensors in a file written by ``torch.save((a, b, …), path)``, in order.

    An entry that is something else is None, and is neither built nor run.

    Raises:
      ValueError: not such a file, or it holds no tuple or list; a damaged tensor.
    """
    description, storages = _open(path)
    if not isinstance(description, tuple | list) or description[:1] == ("call",):
        raise ValueError(f"{path}: expected a tuple of tensors")
    with _expecting(path, "dense tensors"):
        return [
            _tensor(entry, storages)
            if isinstance(entry, tuple) and entry[:2] == ("call", _REBUILD)
            else None
            for entry in description
        ]


def _open(path: Path) -> tuple[Any, _Storages]:
    """A description of what the file's pickle would build; and its storages."""
    if not zipfile.is_zipfile(path):
        return _open_stream(path)
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in members:
            raise ValueError(f"{path}: has no data.pkl, expected a torch.save file")
        order = archive.read(members["byteorder"]) if "byteorder" in members else b""
        if order not in (b"", b"little"):
            raise ValueError(f"{path}: byte order {order!r}, expected little")
        pickled = archive.read(members["data.pkl"])

    def read(key: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(members[f"data/{key}"])

    return _described(path, io.BytesIO(pickled))[0], read


def _open_stream(path: Path) -> tuple[Any, _Storages]:
    """The format of torch before 1.6.

    Five pickles (magic number, version, byte order and sizes, the object, keys of the
    storages), then for each key its number of values, i64, and the values.
    """
    raw: dict[str, bytes] = {}
    with open(path, "rb") as file:
        if file.read(len(_STREAM_START)) != _STREAM_START:
            raise ValueError(f"{path}: expected a torch.save file")
        (_, _), (system, _) = _described(path, file), _described(path, file)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError(f"{path}: expected a file of a little-endian machine")
        (description, known), (keys, _) = _described(path, file), _described(path, file)
        for key in keys if isinstance(keys, list) else ():
            count = int.from_bytes(file.read(8), "little")
            size = np.dtype(_DTYPES[known[key]]).itemsize if key in known else 0
            raw[key] = file.read(count * size)
            if not size or len(raw[key]) < count * size:
                raise ValueError(f"{path}: storage {key!r} is cut off or of no tensor")
    return description, raw.__getitem__


def _tensor(description: Any, storages: _Storages) -> np.ndarray:
    """The array that one tensor's description stands for."""
    kind, function, arguments = description
    if (kind, function) != ("call", _REBUILD):
        raise ValueError(f"found {description[:2]!r}")
    (persistent, storage), start, shape, strides = arguments[:4]
    if persistent != "persistent":
        raise ValueError(f"found storage {storage!r}")
    storage_class, key = _storage(storage)
    dtype = np.dtype(_DTYPES[storage_class])
    flat = np.frombuffer(storages(key), dtype)
    last = start + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((*shape, *strides, start), default=0) < 0 or (
        np.prod(shape) and last >= len(flat)
    ):
        raise ValueError(f"shape {shape} does not fit its {len(flat)} values")
    steps = [step * dtype.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(flat[start:], shape, steps).copy()


def _storage(identity: Any) -> tuple[str, str]:
    """Class and key of a storage; one that views another has no key of its own."""
    _, (_, name), key, _, _, *view = identity
    module, _, storage_class = name.partition(" ")
    if module != "torch" or storage_class not in _DTYPES or view not in ([], [None]):
        raise ValueError(f"found storage {identity!r}")
    return storage_class, key


def _described(path: Path, pickled: io.BufferedIOBase) -> tuple[Any, dict[str, str]]:
    """`_describe`, with the class of each storage by its key."""
    with _expecting(path, "dense tensors"):
        description, identities = _describe(pickled)
        storages = map(_storage, identities)
        return description, {key: storage_class for storage_class, key in storages}


@contextlib.contextmanager
def _expecting(path: Path, what: str) -> Iterator[None]:
    """Tells of the file whatever a description lacks, or has too much of."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected {what} ({error})") from error


def _describe(pickled: io.BufferedIOBase) -> tuple[Any, list]:
    """Describes what a pickle would build by tuples; imports nothing, calls nothing.

    Lists and dictionaries are themselves; an ordered dictionary is a plain one and has
    no attributes. ``pickled`` is read to the end of the pickle. Returned are the
    description, and the identities of the storages that it names.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    storages: list[Any] = []
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop(), storages
        if name in _LITERALS:
            stack.append(argument)
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name == "GLOBAL":
            stack.append(("global", argument))
        elif name in _TAKEN:
            items = _popped(stack, _TAKEN[name])
            if name.startswith("TUPLE"):
                stack.append(items)
            elif name.startswith("APPEND"):
                stack[-1].extend(items)
            else:
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name == "BUILD":  # attributes: torch keeps versions of modules there
            stack.pop()
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "BINPERSID":
            storages.append(stack.pop())
            stack.append(("persistent", storages[-1]))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            is_dict = function == _ORDERED_DICT and arguments == ()
            stack.append({} if is_dict else ("call", function, arguments))
        else:
            raise ValueError(f"opcode {name} has no place in a tensor")
    raise ValueError("the pickle has no end")


def _popped(stack: list, size: int | None) -> tuple:
    """The top ``size`` entries; None: all above the uppermost mark, which goes too."""
    count = stack[::-1].index(_MARK) if size is None else size
    items = tuple(stack[len(stack) - count :])
    del stack[len(stack) - count - (size is None) :]
    return items
