"""Views in CSV files that share an id column: a file a view, a line a row of it.

::

    blood.csv            imaging.csv           labels="group"
    patient,iron,zinc    patient,volume,group
    p1,3.1,0.2           p2,880,control
    p2,2.8,              p3,910,treated

Files are UTF-8, with commas and a line of names. Rows are all ids of all files, in the
order in which they are met; a row without a line in a file lacks that view, as does one
whose cells there are all empty. Empty, "NA" and "NaN" are missing; every other cell is
a number that float32 holds. Text is refused, but for labels and covariates: write a
column of 0 and 1 for each category.
"""

import collections
import csv
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

MISSING = ("", "na", "nan")
"""What stands for a number that is not there, in small letters."""

_LARGEST = float(np.finfo(np.float32).max)


class Table(NamedTuple):
    """A file: what messages call it, ids, columns by name, and the line of each row."""

    where: str
    ids: list[str]
    columns: dict[str, list[str]]
    lines: list[int]


class Joined(NamedTuple):
    """What files hold together, by row: views, columns that were taken, and ids."""

    views: dict[str, Any]
    taken: dict[str, np.ndarray]
    ids: tuple[str, ...]


def read(
    paths: Mapping[str, Path],
    argument: str,
    taken: Mapping[str, str] = MappingProxyType({}),
    id_column: str = "",
) -> Joined:
    """The views, joined; and columns that are no views, as text or integers [N].

    ``taken`` {name of such a column: the argument that names it} are in one file or in
    several; a file with ids and these alone is no view. ``id_column`` "" is the first
    column of each file. Views are arrays [N, columns], integers where all cells are,
    masked where cells are missing.

    Raises:
        ValueError: naming file, line and column: no UTF-8, unequal lines, names or ids
            that are empty or not distinct, cells that are no such numbers; files that
            share no id; a column that is not there, or not of each row.
    """
    tables = {
        m: _read_table(path, f"`{argument}.{m}` ({path.name!r})", id_column)
        for m, path in sorted(paths.items())
    }
    _check_ids(tables, argument)
    row_of = dict.fromkeys(name for table in tables.values() for name in table.ids)
    row_of = {name: row for row, name in enumerate(row_of)}
    columns = {
        name: _take(tables, name, of, row_of) for name, of in sorted(taken.items())
    }
    views = {m: _joined(table, row_of) for m, table in tables.items() if table.columns}
    return Joined(views, columns, tuple(row_of))


def _read_table(path: Path, where: str, id_column: str) -> Table:
    names, rows, lines = None, [], []
    for line, cells in _lines(path, where):
        if names is None:
            names = [cell.strip() for cell in cells]
            _check_names(names, where)
        elif len(cells) != len(names):
            raise ValueError(
                f"{where}: line {line} has {len(cells)} cells, expected {len(names)}"
            )
        else:
            rows.append(cells)
            lines.append(line)
    if not rows:
        raise ValueError(f"{where} has no rows, expected a line of names and some")
    column = id_column or names[0]
    if column not in names:
        raise ValueError(
            f"{where} has no column {id_column!r}, expected `data.id_column` among "
            f"{reprlib.repr(names)}"
        )
    columns = {
        n: list(of) for n, of in zip(names, zip(*rows, strict=True), strict=True)
    }
    return Table(where, [of.strip() for of in columns.pop(column)], columns, lines)


def _lines(path: Path, where: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is not blank."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{where} is no CSV in UTF-8: {error}") from error


def _check_names(names: list[str], where: str) -> None:
    if len(names) < 2:
        raise ValueError(
            f"{where} has the column {reprlib.repr(names[0])} alone, expected ids and "
            "one or more others, with commas between them"
        )
    for name, count in collections.Counter(names).items():
        if not name or count > 1:
            raise ValueError(
                f"{where} has a column {reprlib.repr(name)} without a name of its own, "
                "expected names that are not empty, each once"
            )


def _check_ids(tables: Mapping[str, Table], argument: str) -> None:
    """Raises ValueError unless ids are there, distinct in a file, and shared."""
    num_files: dict[str, int] = {}
    for table in tables.values():
        line_of: dict[str, int] = {}
        for name, line in zip(table.ids, table.lines, strict=True):
            if not name:
                raise ValueError(f"{table.where}: line {line} has no id, expected one")
            if name in line_of:
                raise ValueError(
                    f"{table.where}: line {line} has the id {reprlib.repr(name)} of "
                    f"line {line_of[name]}, expected each once"
                )
            line_of[name] = line
            num_files[name] = num_files.get(name, 0) + 1
    if len(tables) > 1 and max(num_files.values()) < 2:
        first = {m: table.ids[0] for m, table in tables.items()}
        raise ValueError(
            f"`{argument}`: no id is in two files, expected some; the first are "
            f"{reprlib.repr(first)}"
        )


def _take(
    tables: Mapping[str, Table], wanted: str, argument: str, row_of: Mapping[str, int]
) -> np.ndarray:
    """Removes the column from the tables; its text, or integers, [N]."""
    found: dict[str, str] = {}
    having = [table for table in tables.values() if wanted in table.columns]
    if not having:
        known = sorted({name for table in tables.values() for name in table.columns})
        raise ValueError(
            f"`{argument}` is {wanted!r}, expected one of the columns "
            f"{reprlib.repr(known)}"
        )
    for table in having:
        column = table.columns.pop(wanted)
        for name, cell, line in zip(table.ids, column, table.lines, strict=True):
            cell = cell.strip()
            if cell.lower() in MISSING:
                continue
            if found.setdefault(name, cell) != cell:
                raise ValueError(
                    f"{table.where}: line {line} has {reprlib.repr(cell)} in the "
                    f"column {wanted!r}, another file {reprlib.repr(found[name])} for "
                    "the same id"
                )
    for name in row_of:
        if name not in found:
            raise ValueError(
                f"`{argument}`: the id {reprlib.repr(name)} has none in the column "
                f"{wanted!r}, expected one of every id"
            )
    texts = np.array([found[name] for name in row_of])
    return texts.astype(int) if all(map(_is_integer, texts)) else texts


def _joined(table: Table, row_of: Mapping[str, int]) -> np.ndarray | np.ma.MaskedArray:
    """[N, columns], masked where a cell or the line is missing."""
    values = np.ma.masked_all((len(row_of), len(table.columns)))
    values.data[:] = 0
    rows = [row_of[name] for name in table.ids]
    are_integers = True
    for number, (name, cells) in enumerate(table.columns.items()):
        column, is_integer = _numbers(table, name, cells)
        values[rows, number] = column
        are_integers &= is_integer
    values = values.astype(np.int64) if are_integers else values
    return values if values.mask.any() else values.data


def _numbers(
    table: Table, name: str, cells: list[str]
) -> tuple[np.ma.MaskedArray, bool]:
    """A column f64[rows], masked where cells are missing; whether all are integers."""
    column = np.ma.zeros(len(cells))
    are_integers = True
    for row, cell in enumerate(cells):
        text = cell.strip()
        if text.lower() in MISSING:
            column[row] = np.ma.masked
            continue
        is_integer = _is_integer(text)
        try:
            value = float(text.replace("_", "no digit"))
        except ValueError:
            value = np.nan
        if not abs(value) <= _LARGEST:
            expected = "a number that float32 holds, or nothing"
        elif is_integer and int(np.float32(value)) != int(text):
            expected = "no more digits than float32 holds"
        else:
            column[row] = value
            are_integers &= is_integer
            continue
        raise ValueError(
            f"{table.where}: line {table.lines[row]}, column {reprlib.repr(name)} is "
            f"{reprlib.repr(cell)}, expected {expected}"
        )
    return column, are_integers


def _is_integer(text: str) -> bool:
    return re.fullmatch("[+-]?[0-9]+", text) is not None
