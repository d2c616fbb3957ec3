"""Reads one tensor from a ``torch.save`` file, without torch and without unpickling.

Such a file is a zip of raw storages and of a pickle that says how they make a tensor.
We never run that pickle: `pickletools` disassembles it, a few opcodes rebuild its
*description* out of tuples, and anything but one dense tensor is refused.
"""

import pickletools
import zipfile
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
}  # fmt: skip
_CONSTANTS = {"NEWTRUE": True, "NEWFALSE": False, "NONE": None, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


def load_tensor(path: Path) -> np.ndarray:
    """The tensor in a ``.pt`` file written by ``torch.save(tensor, path)``.

    Args:
      path: file in torch's zip format (torch 1.6 and later).

    Returns:
      The array, a copy of its own.

    Raises:
      ValueError: not such a file, or it holds anything but one dense tensor.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected a torch.save file in zip format")
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in members:
            raise ValueError(f"{path}: has no data.pkl, expected a torch.save file")
        order = archive.read(members["byteorder"]) if "byteorder" in members else b""
        if order not in (b"", b"little"):
            raise ValueError(f"{path}: byte order {order!r}, expected little")
        try:
            description = _describe(archive.read(members["data.pkl"]))
            storage, start, shape, strides = _dense_tensor(description)
            dtype, key = np.dtype(_DTYPES[storage[0]]), storage[1]
            raw = archive.read(members[f"data/{key}"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{path}: expected one dense tensor ({error})") from error
    flat = np.frombuffer(raw, dtype)
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


def _dense_tensor(description: Any) -> tuple:
    """(storage class, key), offset, shape, strides of a described tensor."""
    kind, function, arguments = description
    known = ("global", "torch._utils _rebuild_tensor_v2")
    if (kind, function) != ("call", known):
        raise ValueError(f"found {description[:2]!r}")
    (persistent, (_, storage, key, *_)), start, shape, strides = arguments[:4]
    module, _, storage_class = storage[1].partition(" ")
    if persistent != "persistent" or module != "torch":
        raise ValueError(f"found storage {storage!r}")
    return (storage_class, key), start, shape, strides


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
        elif name == "TUPLE" or name in _TUPLES:
            size = _TUPLES.get(name) or stack[::-1].index(_MARK)
            items = tuple(stack[len(stack) - size :])
            del stack[len(stack) - size - (name == "TUPLE") :]
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
