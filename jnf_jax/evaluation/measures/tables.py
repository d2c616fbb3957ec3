"""Tables that a measure declares: which of its numbers people see, and their ranges.

Records are checked against them, and the terminal and docs/results are written from
them. Nothing here imports jax.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Column(NamedTuple):
    """One number of a measure, or an object name -> number.

    Attributes:
        heading: With its unit.
        path: Keys joined by dots, below the measure or, with ``Table.rows``, below the
            row. Absent or null shows as a dash.
        digits: Behind the decimal point.
        low, high: The range; a number outside it is a fault of the record.
        best: Which of several runs' numbers is the better, "high" or "low"; "" neither.
    """

    heading: str
    path: str
    digits: int = 3
    low: float = -math.inf
    high: float = math.inf
    best: str = ""


class Table(NamedTuple):
    """A table of one measure.

    Attributes:
        said: The sentence above it, which says what the numbers are.
        columns: The numbers that it shows.
        rows: Path of an object whose every entry is a row; "": the measure is one row.
        heading: Of these rows, as "given" where they are sizes of subsets.
    """

    said: str
    columns: tuple[Column, ...]
    rows: str = ""
    heading: str = ""


def find(tree: Any, path: str) -> Any:
    """Looks up a path of keys joined by dots; None where nothing lies there.

    >>> find({"a": {"b": 1.5}}, "a.b"), find({"a": 1.5}, "a.b")
    (1.5, None)
    """
    for key in filter(None, path.split(".")):
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree


def rows_of(table: Table, measured: Mapping[str, Any]) -> Iterator[tuple[str, list]]:
    """Name of a row ("" where there is but one) -> a value for each column."""
    rows = find(measured, table.rows) if table.rows else {"": measured}
    for name, row in (rows or {}).items():
        yield name, [find(row, column.path) for column in table.columns]
