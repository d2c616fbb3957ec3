"""Names of views: what they may be, how several are one text, and how a file is called.

Users choose them, and they become keys of records and of parameters, parts of the names
of files, fields of a config (``model.likelihoods.NAME.scale``) and words of a command
line (``--given NAME,NAME``). A subset is written with "+" between its names, which no
name contains.
"""

import hashlib
import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RESERVED = ("default", "mean")
"""The section of a config that is every view's; the key that tells a spread over
seeds."""

COVARIATES = "(covariates)"
"""Key of the columns f32[B, K] of covariates beside the views of a batch: no view's."""

_LONGEST = 120
"""Bytes of a file's name, which gets prefixes and suffixes; file systems allow 255."""


def check_names(names: Iterable[str], where: str) -> None:
    """Raises ValueError, which begins with ``where``, at the first bad name.

    >>> check_names(["photo", "a+b"], "`views`")
    Traceback (most recent call last):
    ValueError: `views` has a view named 'a+b', expected 1 to 64 letters, digits, '_' \
and '-', and neither 'default' nor 'mean'
    """
    for name in names:
        is_text = isinstance(name, str) and _NAME.fullmatch(name)
        if not is_text or name in _RESERVED:
            raise ValueError(
                f"{where} has a view named {name!r}, expected 1 to 64 letters, digits, "
                "'_' and '-', and neither 'default' nor 'mean'"
            )


def join_names(names: Iterable[str]) -> str:
    """A subset as one text, which ``split_names`` takes apart again.

    Raises:
        ValueError: A name contains "+".

    >>> join_names(("a", "b"))
    'a+b'
    """
    names = list(names)
    if bad := [name for name in names if not name or "+" in name]:
        raise ValueError(f"`names` has {bad[0]!r}, expected text without '+'")
    return "+".join(names)


def split_names(text: str) -> tuple[str, ...]:
    """The names in a text of ``join_names``.

    >>> split_names("a+b"), split_names("")
    (('a', 'b'), ())
    """
    return tuple(text.split("+")) if text else ()


def file_name(text: str) -> str:
    """``text`` as the name of a file or folder, or as a part of one.

    Path separators become "_". What is too long is cut, and ends in the first 16 digits
    of its SHA-256, so that other texts have other names.

    >>> file_name("a+b"), file_name("mine/v1"), len(file_name("a" * 500))
    ('a+b', 'mine_v1', 120)
    """
    safe = re.sub(r"[/\\:\0]", "_", text)
    if len(safe.encode()) <= _LONGEST:
        return safe
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{safe.encode()[: _LONGEST - 17].decode(errors='ignore')}-{digest}"
