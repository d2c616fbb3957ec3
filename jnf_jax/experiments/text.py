"""Numbers of a record as text, and one table that a terminal or Markdown shows."""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jnf_jax.experiments.schema import is_summary

ABSENT = "–"
WIDTH = 80


def mean_of(value: Any) -> float | int | None:
    """The mean of a measured quantity over seeds; of one seed the number, or null.

    >>> mean_of({"mean": 0.5, "sd": 0.1, "n": 3}), mean_of(0.25)
    (0.5, 0.25)
    """
    return value["mean"] if is_summary(value) else value


def format_value(value: Any, digits: int = 3) -> str:
    """A measured quantity as text; a dash where it was not measured.

    >>> format_value({"mean": 0.5, "sd": 0.0214, "n": 4}), format_value(None)
    ('0.500 ± 0.021', '–')
    """
    if value is None:
        return ABSENT
    if not is_summary(value):
        return f"{value:.{digits}f}"
    text, spread = f"{value['mean']:.{digits}f}", value.get("sd")
    return text if spread is None else f"{text} ± {spread:.{digits}f}"


def by_name(
    values: Mapping[str, Any] | None, text: Callable[[Any], str] = format_value
) -> str:
    """An object name -> quantity as text; a dash where there is nothing.

    >>> by_name({"b": 0.2, "a": 0.1})
    'a 0.100 · b 0.200'
    """
    items = sorted((values or {}).items())
    return " · ".join(f"{name} {text(value)}" for name, value in items) or ABSENT


def format_cell(value: Any, digits: int) -> str:
    """A quantity, or an object name -> quantity, as text."""
    if isinstance(value, Mapping) and not is_summary(value):
        return by_name(value, lambda number: format_value(number, digits))
    return format_value(value, digits)


def format_duration(seconds: Any) -> str:
    """Wall time in the unit that a person would use.

    >>> format_duration(212.3), format_duration(5900), format_duration({"mean": 86400})
    ('212 s', '98 min', '24.0 h')
    """
    seconds = mean_of(seconds)
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


Rows = Sequence[Sequence[str]]
"""As many cells as the header has; the first names its row."""


def markdown(header: Sequence[str], rows: Rows) -> list[str]:
    """Lines of Markdown, without the columns that are empty in every row."""
    kept = [
        i
        for i in range(len(header))
        if i == 0 or any(row[i] not in ("", ABSENT) for row in rows)
    ]
    lines = [header, ["---"] * len(header), *rows]
    cells = [[line[i].replace("|", "\\|") for i in kept] for line in lines]
    return ["| " + " | ".join(line) + " |" for line in cells]


def console(header: Sequence[str], rows: Rows) -> list[str]:
    """Lines of plain ASCII, ``WIDTH`` wide: names to the left, values to the right.

    What does not fit beside its name stands below it; without rows there are no lines.

    >>> console(["coherence", "macro"], [["  given 1", "0.5 ± 0.1"]])[1]
    '  given 1                                                             0.5 +- 0.1'
    """
    lines = []
    first = max((len(row[0]) for row in rows), default=0)
    share = (WIDTH - first) // (len(header) - 1)
    for name, *values in [header, *rows] if rows else ():
        name, *values = map(_ascii, (name, *values))
        if max(map(len, values)) < share:
            left = WIDTH - share * len(values)
            lines.append(f"{name:<{left}}" + "".join(f"{v:>{share}}" for v in values))
        else:
            lines += [name, *in_lines("   ".join(values), "    ")]
    return [line.rstrip() for line in lines]


def in_lines(text: str, indent: str) -> list[str]:
    """``text`` in lines of ASCII, broken only where three spaces stand."""
    whole = re.sub("(?<! ) (?! )", "\0", _ascii(text))
    lines = textwrap.wrap(whole, WIDTH - len(indent), break_on_hyphens=False)
    return [indent + line.replace("\0", " ") for line in lines]


def _ascii(text: str) -> str:
    for character, plain in (("±", "+-"), (ABSENT, "-"), (" · ", "   "), ("→", "->")):
        text = text.replace(character, plain)
    return text
