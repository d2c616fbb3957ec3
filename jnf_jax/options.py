"""Options that are declared once: type, default, check and one line of help.

A settings dataclass declares each of its fields with `option`; `faults` checks an
instance against these declarations, and every fault of every class reads alike::

    @dataclasses.dataclass(frozen=True)
    class TrainSettings:
        batch_size: int = option(64, "Data in one step over all devices.", at_least=1)

    faults(TrainSettings(0), "joint")  # ["`joint.batch_size` is 0, expected >= 1"]

What concerns several fields is the method ``cross_faults(field) -> list[str]`` of the
class; its lines join the others.
"""

import dataclasses
import difflib
import functools
import math
import operator
import typing
from collections.abc import Iterable, Mapping
from typing import Any

REQUIRED = dataclasses.MISSING
"""The default of an option that has none."""

_KINDS = {
    bool: ("True or False", bool),
    int: ("an integer", int),
    float: ("a number", (int, float)),
    str: ("text", str),
    tuple[int, ...]: ("integers", int),
    tuple[float, ...]: ("numbers", (int, float)),
}


_HOLDS = {
    ">=": operator.ge,
    ">": operator.gt,
    "<": operator.lt,
    "to": lambda number, bound: bound[0] <= number <= bound[1],
}


def option(
    default: Any,
    help: str,  # noqa: A002  # the word that every command line uses
    *,
    at_least: float | int | None = None,
    above: float | int | None = None,
    below: float | int | None = None,
    between: tuple[float | int, float | int] | None = None,
    one_of: Iterable[str] | None = None,
    not_empty: bool = False,
    of_identity: bool = True,
    came_later: bool = False,
) -> Any:
    """A field of a settings dataclass.

    Args:
        default: A literal, or ``REQUIRED``.
        help: What the option does, in a line or a few.
        at_least: Bound of a number, or of each number of a tuple; likewise ``above``
            and ``below``.
        between: Least and largest value of such a number.
        one_of: The names that a text may be.
        not_empty: Whether a tuple needs at least one entry.
        of_identity: False for what decides nothing that is learnt, such as how draws
            are made: checkpoints are found again whatever it is.
        came_later: True for an option that checkpoints are older than: at its default,
            which is how they were made, it is no part of their identity.
    """
    bounds = {">=": at_least, ">": above, "<": below, "to": between}
    rules = {
        "help": help,
        "bounds": {sign: bound for sign, bound in bounds.items() if bound is not None},
        "one_of": None if one_of is None else tuple(one_of),
        "not_empty": not_empty,
        "of_identity": of_identity,
        "came_later": came_later,
    }
    return dataclasses.field(default=default, metadata=rules)


def identity_of(settings: Any) -> Any:
    """``dataclasses.asdict`` of the options that decide what is learnt.

    See ``of_identity`` and ``came_later`` of `option`.
    """
    if dataclasses.is_dataclass(settings):
        return {
            field.name: identity_of(getattr(settings, field.name))
            for field in dataclasses.fields(settings)
            if field.metadata.get("of_identity", True)
            and not (
                field.metadata.get("came_later", False)
                and getattr(settings, field.name) == field.default
            )
        }
    if isinstance(settings, Mapping):
        return {name: identity_of(value) for name, value in settings.items()}
    return settings


def faults(settings: Any, field: str = "") -> list[str]:
    """Everything that is wrong with a settings dataclass, one line a fault.

    Args:
        settings: An instance; dataclasses in its fields, or in mappings that are its
            fields, are checked with it.
        field: Where it is in the config, "joint"; "" is the config itself.
    """
    values = {name: getattr(settings, name) for name in kinds(type(settings))}
    found = _value_faults(type(settings), values, field)
    for name, value in values.items():
        inner = {name: value}
        if isinstance(value, Mapping):
            inner = {f"{name}.{key}": entry for key, entry in value.items()}
        for path, entry in inner.items():
            if dataclasses.is_dataclass(entry) and not isinstance(entry, type):
                found += faults(entry, _join(field, path))
    # A comparison of two fields needs values that can be compared.
    if hasattr(settings, "cross_faults") and _are_typed(type(settings), values):
        found += settings.cross_faults(field)
    return found


def require(settings: Any, field: str = "") -> None:
    """Raises ValueError with every line of `faults`, if there is one."""
    if found := faults(settings, field):
        raise ValueError("\n".join(found))


def read(
    cls: type, section: Mapping[str, Any], field: str = ""
) -> tuple[Any, list[str]]:
    """``cls(**section)``, lists as tuples, and everything that is wrong with it.

    Returns:
        The instance, None where a type is wrong or a required field is missing; and
        one line for every fault.
    """
    values, found = _values(cls, section), check(cls, section, field)[1]
    missing = [
        f"`{_join(field, own.name)}` is missing, expected {_expected(cls, own.name)}"
        for own in dataclasses.fields(cls)
        if own.name not in values
        and own.default is own.default_factory is dataclasses.MISSING
    ]
    if missing or not _are_typed(cls, values):
        return None, found + missing
    settings = cls(**values)
    return settings, list(dict.fromkeys(found + faults(settings, field)))


def check(
    cls: type, section: Mapping[str, Any], field: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a section that are right, and one line for each that is not.

    Unlike `read` it asks for none that is not there.
    """
    known, values = kinds(cls), _values(cls, section)
    found = [unknown(_join(field, n), known) for n in section if n not in known]
    told = {n: _value_faults(cls, {n: value}, field) for n, value in values.items()}
    good = {name: value for name, value in values.items() if not told[name]}
    return good, found + [line for lines in told.values() for line in lines]


def _values(cls: type, section: Mapping[str, Any]) -> dict[str, Any]:
    """Those that ``cls`` knows; lists as tuples, integers as floats where asked."""
    known, values = kinds(cls), {}
    for name in [name for name in section if name in known]:
        value = section[name]
        value = tuple(value) if isinstance(value, list) else value
        is_float = known[name] is float and _has_type(value, float)
        values[name] = float(value) if is_float else value
    return values


def names(text: str) -> tuple[str, ...]:
    """The names that a text lists, separated by commas.

    Nothing between two commas is a name too, of nothing: whoever knows the names
    refuses it.

    >>> names("a, b"), names("a,"), names("")
    (('a', 'b'), ('a', ''), ())
    """
    return tuple(name.strip() for name in text.split(",")) if text.strip() else ()


def unknown(path: str, known: Iterable[str]) -> str:
    """The line for a name that is none of those known, with the one it comes near."""
    return f"`{path}` is unknown, expected {among(path.rpartition('.')[2], known)}"


def among(name: Any, known: Iterable[str]) -> str:
    """``one of 'a', 'b'``, and which of them ``name`` may have been meant to be."""
    known = [str(entry) for entry in known]
    return f"one of {', '.join(map(repr, known))}{near(str(name), known)}"


def near(name: str, known: Iterable[str], most: int = 1) -> str:
    """``. Did you mean 'a'?``; empty where ``name`` comes near to none."""
    found = difflib.get_close_matches(name, known, n=most)
    return f". Did you mean {' or '.join(map(repr, found))}?" if found else ""


@functools.cache
def kinds(cls: type) -> dict[str, Any]:
    """The fields of a settings dataclass and their types."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _join(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _are_typed(cls: type, values: Mapping[str, Any]) -> bool:
    known = kinds(cls)
    return all(_has_type(value, known[name]) for name, value in values.items())


def _has_type(value: Any, kind: Any) -> bool:
    """Whether it is of that kind; True is no number. Other kinds go unchecked."""
    if kind not in _KINDS:
        return True
    of_one = _KINDS[kind][1]
    if typing.get_origin(kind) is tuple:
        (kind, _) = typing.get_args(kind)
        return isinstance(value, tuple) and all(_has_type(each, kind) for each in value)
    return isinstance(value, of_one) and (kind is bool or not isinstance(value, bool))


def _value_faults(cls: type, values: Mapping[str, Any], field: str) -> list[str]:
    """Faults of each value by itself, at most a line for each."""
    return [
        f"`{_join(field, name)}` is {wrong}"
        for name, value in values.items()
        if kinds(cls)[name] in _KINDS and (wrong := _wrong(cls, name, value))
    ]


def _wrong(cls: type, name: str, value: Any) -> str | None:
    """A bad value and the expected one, in words; None where it is as expected."""
    kind, rules = kinds(cls)[name], cls.__dataclass_fields__[name].metadata
    expected, bounds = _expected(cls, name), rules.get("bounds", {})
    if not _has_type(value, kind):
        return f"{value!r} ({type(value).__name__}), expected {expected}"
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(n, float) and not math.isfinite(n) for n in numbers):
        return f"{value!r}, expected {expected.replace('number', 'finite number')}"
    if rules.get("one_of") and value not in rules["one_of"]:
        return f"{value!r}, expected {among(value, rules['one_of'])}"
    is_empty = rules.get("not_empty") and not value
    holds = (_HOLDS[sign](n, bounds[sign]) for n in numbers for sign in bounds)
    if is_empty or not all(holds):
        is_number = kind in (int, float)
        return f"{value!r}, expected {_told(bounds) if is_number else expected}"
    return None


def _told(bounds: Mapping[str, Any]) -> str:
    return " and ".join(
        f"{bound[0]} to {bound[1]}" if sign == "to" else f"{sign} {bound}"
        for sign, bound in bounds.items()
    )


def _expected(cls: type, name: str) -> str:
    """The values that an option takes, in words."""
    kind, rules = kinds(cls)[name], cls.__dataclass_fields__[name].metadata
    if rules.get("one_of"):
        return among("", rules["one_of"])
    words = _KINDS[kind][0] if kind in _KINDS else "a value"
    if typing.get_origin(kind) is tuple:
        words = f"a tuple of {'one or more ' if rules.get('not_empty') else ''}{words}"
    return f"{words} {_told(rules.get('bounds', {}))}".rstrip()
