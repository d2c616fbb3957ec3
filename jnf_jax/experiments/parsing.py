"""From a section of a config to a frozen dataclass; faults are collected, all."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any


class Faults(list):
    """Collects what is wrong, so that one run of the program tells all of it."""

    def unknown(self, path: str, name: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        self.append(
            f"`{path}{name}` is unknown, expected one of {sorted(known)}.{hint}"
        )


def parse(cls: type, section: Mapping[str, Any], path: str, faults: Faults) -> Any:
    """``cls(**section)``; lists become tuples; None and a fault where that fails."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    before = len(faults)
    values = {}
    for name, value in section.items():
        if name not in fields:
            faults.unknown(path, name, fields)
            continue
        value = tuple(value) if isinstance(value, list) else value
        if isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if hints[name] is float else value
        if value != value:
            faults.append(f"`{path}{name}` is NaN")
        if isinstance(value, bool) and hints[name] in (int, float):
            faults.append(f"`{path}{name}` is {value}, expected a number")
        if hints[name] == tuple[int, ...] and not all(
            type(entry) is int for entry in value if isinstance(value, tuple)
        ):
            faults.append(f"`{path}{name}` is {value!r}, expected integers")
        expected = typing.get_origin(hints[name]) or hints[name]
        if isinstance(expected, types.UnionType | type) and not isinstance(
            value, expected
        ):
            faults.append(
                f"`{path}{name}` is {value!r} ({type(value).__name__}), expected "
                f"{expected.__name__}"
            )
        values[name] = value
    missing = [
        name
        for name, field in fields.items()
        if name not in section
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    faults += [f"`{path}{name}` is missing" for name in missing]
    if len(faults) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        faults.append(f"`{path.rstrip('.')}`: {error}")
        return None
