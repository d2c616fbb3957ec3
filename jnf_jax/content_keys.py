"""Content keys: one function says whether something computed before may be used again.

A checkpoint, a classifier, a draw or a file in a cache may stand in for computing it
again only where everything that decides its numbers is the same. Whoever keeps such a
thing describes what it depends on as JSON, and keeps it under ``content_key`` of that,
or beside the description itself (``identity``), which can also say what differs.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

FORMATS = {
    "tuples": 1,  # how data sets make tuples of their arrays: splits, pairing, pixels
    "stored tuples": 1,  # array_record files that `data.placement` writes
    "decoded": 1,  # arrays of published files, decoded and transformed
    "stage": 1,  # a method's stage: its objective, initialisation, order of data
    "classifiers": 1,  # the evaluation classifiers: their network and training
    "draws": 1,  # what chains drew given a subset, and what classifiers said of it
    "scores": 1,  # what each test tuple scored, which other runs are compared with
    "record": 1,  # the record of a finished run
}
"""Raise a number when the same inputs give other numbers, or are kept otherwise: then
nothing that was kept before is used. Number 1 is not written into identities, so that
checkpoints of before this table are still read."""

DIGITS = 16
"""Hexadecimal digits of a key: 64 bits."""


def identity(kind: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """``about`` as JSON gives it back, with the format number of ``kind`` if not 1.

    ``about`` says everything that decides the numbers of what is kept. Tuples count as
    lists.

    Raises:
      ValueError: an unknown kind; or a value that JSON does not have, named by its
        path. Nothing is turned into text: two arrays may print alike and differ.

    >>> identity("draws", {"subset": ("a", "b")})
    {'subset': ['a', 'b']}
    """
    if kind not in FORMATS:
        raise ValueError(f"`kind` is {kind!r}, expected one of {sorted(FORMATS)}")
    number = {"format": FORMATS[kind]} if FORMATS[kind] != 1 else {}
    return _plain("about", about) | number


def content_key(kind: str, about: Mapping[str, Any]) -> str:
    """SHA-256 of ``identity(kind, about)`` as JSON with sorted keys, cut to ``DIGITS``.

    Keys of two kinds are compared with each other by nobody: each kind has files or a
    folder of its own.

    >>> key = content_key("draws", {"a": 1, "b": 2.0})
    >>> key == content_key("draws", {"b": 2.0, "a": 1})
    True
    """
    text = json.dumps(identity(kind, about), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _plain(path: str, value: Any) -> Any:
    """``value`` in JSON's own types, or ValueError with the path to what is not."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(f"{path}[{number}]", x) for number, x in enumerate(value)]
    if isinstance(value, Mapping):
        if unfit := [name for name in value if type(name) is not str]:
            raise ValueError(f"`{path}` has the key {unfit[0]!r}, expected text")
        return {name: _plain(f"{path}.{name}", x) for name, x in value.items()}
    raise ValueError(
        f"`{path}` is {value!r} ({type(value).__name__}), expected what JSON has: an "
        "object, a list, text, a finite number, true, false or null"
    )
