"""Reads tensors from a ``torch.save`` file, without torch and without unpickling.

Such a file is a zip of raw storages and of a pickle that says how they make tensors.
We never run that pickle: `pickletools` disassembles it, a few opcodes rebuild its
*description* out of tuples and lists, and dense tensors alone are made of that.
"""

import contextlib
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
_CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False, "NONE": None, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
_REBUILD = ("call", ("global", "torch._utils _rebuild_tensor_v2"))


def load_tensor(path: Path) -> np.ndarray:
    """The tensor in a ``.pt`` file written by ``torch.save(tensor, path)``.

    Args:
      path: file in torch's zip format (torch 1.6 and later).

    Returns:
      The array, a copy of its own.

    Raises:
      ValueError: not such a file, or it holds anything but one dense tensor.
    """
    with _opened(path) as (description, read):
        return _dense_tensor(path, description, read)


def load_tuple(path: Path) -> list[np.ndarray | None]:
    """The tensors in a ``.pt`` file written by ``torch.save((a, b, …), path)``.

    Args:
      path: file in torch's zip format (torch 1.6 and later).

    Returns:
      An array, a copy of its own, for each dense tensor, in order; None for each entry
      that is something else, which is neither built nor run.

    Raises:
      ValueError: not such a file, or it holds no tuple or list.
    """
    with _opened(path) as (description, read):
        if not isinstance(description, tuple | list) or description[:1] == ("call",):
            raise ValueError(f"{path}: expected a tuple of tensors")
        return [
            _dense_tensor(path, entry, read) if _is_tensor(entry) else None
            for entry in description
        ]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Callable[[str], bytes]]]:
    """The description of what a file holds; and its storages' bytes by name."""
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path}: expected a torch.save file in zip format; torch 1.6 and later "
            "write it: torch.save(torch.load(path), path)"
        )
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in members:
            raise ValueError(f"{path}: has no data.pkl, expected a torch.save file")
        order = archive.read(members["byteorder"]) if "byteorder" in members else b""
        if order not in (b"", b"little"):
            raise ValueError(f"{path}: byte order {order!r}, expected little")
        try:
            description = _describe(archive.read(members["data.pkl"]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: expected dense tensors ({error})") from error
        yield description, lambda key: archive.read(members[f"data/{key}"])


def _dense_tensor(
    path: Path, description: Any, read: Callable[[str], bytes]
) -> np.ndarray:
    try:
        dtype, key, start, shape, strides = _parts(description)
        flat = np.frombuffer(read(key), dtype)
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path}: expected one dense tensor ({error})") from error
    last = start + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((*shape, *strides, start), default=0) < 0 or (
        np.prod(shape) and last >= len(flat)
    ):
        raise ValueError(f"{path}: shape {shape} does not fit its {len(flat)} values")
    view = np.lib.stride_tricks.as_strided(
        flat[start:],
        shape,
        [step * dtype.itemsize for step in strides],
        writeable=False,
    )
    return view.copy()


def _is_tensor(description: Any) -> bool:
    return isinstance(description, tuple) and description[:2] == _REBUILD


def _parts(description: Any) -> tuple:
    """dtype, storage's name, offset, shape, strides of a described tensor."""
    if not _is_tensor(description):
        found = description[:2] if isinstance(description, tuple) else description
        raise ValueError(f"found {found!r}")
    (persistent, (_, storage, key, *_)), start, shape, strides = description[2][:4]
    module, _, storage_class = storage[1].partition(" ")
    if persistent != "persistent" or module != "torch":
        raise ValueError(f"found storage {storage!r}")
    return np.dtype(_DTYPES[storage_class]), key, start, shape, strides


def _describe(pickled: bytes) -> Any:
    """What a pickle would build, as tuples: nothing is imported and nothing called."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "GLOBAL":
            stack.append(("global", argument))
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([])
        elif name == "APPEND":
            stack[-2].append(stack.pop())
        elif name == "APPENDS":
            items = _pop_to_mark(stack)
            stack[-1].extend(items)
        elif name == "SETITEMS":  # what is in a dictionary makes no tensor
            _pop_to_mark(stack)
        elif name == "SETITEM":
            del stack[-2:]
        elif name == "BUILD":
            del stack[-1]
        elif name == "TUPLE":
            stack.append(tuple(_pop_to_mark(stack)))
        elif name in _TUPLES:
            items = tuple(stack[-_TUPLES[name] :])
            del stack[-_TUPLES[name] :]
            stack.append(items)
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "BINPERSID":
            stack.append(("persistent", stack.pop()))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(("call", function, arguments))
        else:
            raise ValueError(f"opcode {name} has no place in a tensor")
    raise ValueError("the pickle has no end")


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    """Takes what stands above the last mark, and the mark, off the stack."""
    size = stack[::-1].index(_MARK)
    items = stack[len(stack) - size :]
    del stack[len(stack) - size - 1 :]
    return items
