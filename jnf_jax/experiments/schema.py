"""The schema of a record; docs/results_schema.md describes every field.

A measured quantity is a number or, over several training seeds,
``{"mean": …, "sd": …, "n": …}``. ``FIELDS`` is the table of what is checked: a check
takes the path of a value and the value, and returns the faults that it finds, a
sentence each. Keys that it does not name are free.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.measures.tables import find, rows_of
from jnf_jax.names import split_names

Record = Mapping[str, Any]
Check = Callable[[str, Any], list[str]]


def is_summary(value: Any) -> bool:
    """Whether ``value`` is a ``{mean, sd, n}``, not names of which "mean" is one."""
    known = isinstance(value, Mapping) and "mean" in value
    return known and (len(value) == 1 or bool(value.keys() & {"sd", "std", "n"}))


# --- what a value may be -------------------------------------------------------------


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A number, or ``{mean, sd, n}``, in [low, high]."""

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, Mapping):
            if set(value) != {"mean", "sd", "n"}:
                return [f"`{path}` has keys {sorted(value)}, expected mean, sd, n"]
            if not (_is_number(value["sd"]) and value["sd"] >= 0):
                return [f"`{path}.sd` is {value['sd']!r}, expected a number >= 0"]
            if type(value["n"]) is not int or value["n"] < 2:
                return [f"`{path}.n` is {value['n']!r}, expected an integer >= 2"]
            path, value = f"{path}.mean", value["mean"]
        if _is_number(value) and low <= value <= high:
            return []
        between = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f">= {low:g}"
        return [f"`{path}` is {value!r}, expected a finite number {between}"]

    return check


def _or_null(check: Check) -> Check:
    return lambda path, value: [] if value is None else check(path, value)


def _when(is_good: Callable[[Any], Any], expected: str) -> Check:
    def check(path: str, value: Any) -> list[str]:
        return [] if is_good(value) else [f"`{path}` is {value!r}, expected {expected}"]

    return check


def _no_given_target(path: str, value: Any) -> list[str]:
    """Checks that no target is given in an object names given -> target -> …."""
    pairs = value.items() if isinstance(value, Mapping) else ()
    return [
        f"`{path}.{given}` has the target {name!r}, which is given"
        for given, targets in pairs
        if isinstance(targets, Mapping)
        for name in sorted(set(split_names(str(given))) & set(targets))
    ]


def is_list_of(value: Any, kind: type) -> bool:
    """Whether ``value`` is a list of entries of exactly that type."""
    return isinstance(value, list) and all(type(entry) is kind for entry in value)


SHARE, NATS = _number(0.0, 1.0), _number(0.0)
OBJECT = _when(lambda value: isinstance(value, Mapping), "an object")
BEFORE_AND_AFTER = _when(
    lambda value: isinstance(value, Mapping) and set(value) == {"before", "after"},
    "an object with before and after",
)
TEXT = _when(
    lambda value: isinstance(value, str) and value.strip(),
    "a string that says something",
)
COMMIT = _when(
    lambda value: (
        isinstance(value, str)
        and re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?|unknown", value)
    ),
    "7 to 40 hex digits, with -dirty after them if the tree differed, or unknown",
)
SEEDS = _when(
    lambda value: is_list_of(value, int) and 0 < len(value) == len(set(value)),
    "a list of different integers",
)
# Null where undefined: the R-hat of a chain that never moved.
DIAGNOSTIC = _or_null(_when(_is_number, "a number or null"))

# --- the fields of a record ----------------------------------------------------------

ANY_NAME = {
    "*": (r"(?s).*", ""),
    "<size>": (r"[1-9]\d*", 'a subset size as a string: "1", "2", …'),
    "<steps>": (r"0|[1-9]\d*", 'a number of steps as a string: "0", "10", …'),
}
"""Part of a path that stands for every name -> the names that there may be."""

REQUIRED = (
    *("dataset", "method", "protocol", "config", "command", "commit", "hardware"),
    *("seeds", "wall_seconds", "coherence", "classifiers", "sampler"),
    *("stage1_checkpoint", "coherence.conditional", "coherence.joint"),
    *("coherence.joint_entropy", "coherence.ceiling"),
    *("refinement.log_joint", "refinement.coherence"),  # where there is a refinement
)
FIELDS: dict[str, Check] = {
    **dict.fromkeys(("dataset", "method", "protocol", "config", "command"), TEXT),
    "commit": COMMIT,
    "hardware": TEXT,
    "seeds": SEEDS,
    "wall_seconds": NATS,
    "coherence.conditional.<size>": SHARE,
    "coherence.conditional_micro.<size>": SHARE,
    "coherence.num_subsets.<size>": lambda path, value: [],
    "coherence.joint.*": SHARE,
    "coherence.joint_by_steps.*.<steps>": _or_null(SHARE),
    "coherence.joint_entropy_by_steps.*.<steps>": _or_null(NATS),
    "coherence.ceiling": _or_null(SHARE),
    "coherence.interval.conditional.*.*": SHARE,
    "coherence.interval.subsets": _no_given_target,
    "coherence.interval.subsets.*.*.*": SHARE,
    "coherence.interval.joint.*.*": SHARE,
    "coherence.interval.ceiling.*": SHARE,
    "coherence.gain.<size>.difference": _number(-1.0, 1.0),
    "coherence.gain.<size>.standard_error": _or_null(NATS),
    "coherence.against.*.<size>.difference": _number(-1.0, 1.0),
    "coherence.against.*.<size>.standard_error": _or_null(NATS),
    "classifiers.*": SHARE,
    "sampler.settings": OBJECT,
    "sampler.stand_in": TEXT,
    "sampler.subsets.*.*": DIAGNOSTIC,
    "stage1_checkpoint": _or_null(TEXT),
    "training_seconds": NATS,
    "num_parameters": NATS,
    "draws_per_second.*": NATS,
    "subset_coherence": _no_given_target,
    "subset_coherence.*.*": SHARE,
    "refinement.log_joint": BEFORE_AND_AFTER,
    "refinement.log_joint.*.*": _number(),
    "refinement.coherence": BEFORE_AND_AFTER,
    "refinement.coherence.*.*": SHARE,
    "refinement.ceiling.*": SHARE,
    "notes": _when(lambda value: is_list_of(value, str), "a list of strings"),
}
"""Path -> check, of every value there is at it."""


def validate(record: Any) -> list[str]:
    """Finds everything that is wrong with a record as read from JSON, all at once.

    Returns:
        One sentence a fault, naming the field, what it is and what was expected; empty
        if the record is good.
    """
    if not isinstance(record, Mapping):
        return [f"the record is a {type(record).__name__}, expected an object"]
    faults = _missing(record)
    for path, check in FIELDS.items():
        faults += _walk("", record, path.split("."), check)
    faults += _entropy_faults(record)
    judged = find(record, "coherence.conditional")
    if judged and record.get("classifiers") == {}:
        faults.append(
            "`classifiers` is empty, expected the accuracy on real test images of "
            "those that judged `coherence.conditional`"
        )
    for name in MEASURES:
        faults += _shown_faults(name, record[name]) if name in record else []
    named = {fault.split()[0] for fault in faults}  # say each only once
    faults += [f for f in _json_faults("", record) if f.split()[0] not in named]
    return [*dict.fromkeys(faults)]


def _join(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


def _missing(record: Record) -> list[str]:
    """Faults of ``REQUIRED``; near misses are named."""
    faults = []
    for path in REQUIRED:
        above, _, name = path.rpartition(".")
        there = find(record, above)
        if not isinstance(there, Mapping) or name in there:
            continue
        known = {p.removeprefix(f"{above}.").split(".")[0] for p in FIELDS}
        extra = [str(key) for key in there if key not in known]
        near = difflib.get_close_matches(name, extra, n=1)
        hint = f"; did you mean it by `{near[0]}`?" if near else ""
        faults.append(f"`{path}` is missing{hint}")
    return faults


def _walk(path: str, value: Any, keys: list[str], check: Check) -> list[str]:
    """Faults of all values at ``keys`` below a value."""
    if not keys:
        return check(path, value)
    if faults := OBJECT(path, value):
        return faults
    key, *rest = keys
    names = value if key in ANY_NAME else [key] if key in value else []
    pattern, expected = ANY_NAME.get(key, ("(?s).*", ""))
    for name in names:
        faults += _walk(_join(path, name), value[name], rest, check)
        if not re.fullmatch(pattern, str(name)):
            faults.append(f"`{path}` has the key {name!r}, expected {expected}")
    return faults


def _entropy_faults(record: Record) -> list[str]:
    """`coherence.joint_entropy` is one value, or one for each prior of several."""
    path = "coherence.joint_entropy"
    entropy, joint = find(record, path), find(record, "coherence.joint")
    joint = sorted(joint) if isinstance(joint, Mapping) else []
    if isinstance(entropy, Mapping) and not is_summary(entropy):
        faults = _walk(path, entropy, ["*"], _or_null(NATS))
        if sorted(entropy) != joint:
            faults.append(
                f"`{path}` has keys {sorted(entropy)}, expected those of "
                f"`coherence.joint`: {joint}"
            )
        return faults
    if entropy is not None and len(joint) > 1:
        return [
            f"`{path}` is one value, expected one for each prior of "
            f"`coherence.joint`: {joint}"
        ]
    return _or_null(NATS)(path, entropy)


def _shown_faults(name: str, measured: Any) -> list[str]:
    """Faults of a measure's object, as far as its tables show it."""
    if faults := OBJECT(name, measured):
        return faults
    for table in load(name).TABLES:
        if not isinstance(find(measured, table.rows) or {}, Mapping):
            faults.append(f"`{name}.{table.rows}` is no object, expected one")
            continue
        for row, values in rows_of(table, measured):
            above = ".".join(filter(None, (name, table.rows, row)))
            for column, value in zip(table.columns, values, strict=True):
                check = _or_null(_number(column.low, column.high))
                is_named = isinstance(value, Mapping) and not is_summary(value)
                keys = ["*"] if is_named else []
                faults += _walk(f"{above}.{column.path}", value, keys, check)
    return faults


def _json_faults(path: str, value: Any) -> list[str]:
    """Finds what JSON cannot hold, wherever it is; NaN is no measurement."""
    if value is None or isinstance(value, bool | str | int):
        return []
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"`{path}` is {value}, not finite"]
    faults, items = [], enumerate(value) if isinstance(value, list | tuple) else None
    if isinstance(value, Mapping):
        faults = [
            f"`{path}` has the key {key!r}, expected a string"
            for key in value
            if not isinstance(key, str)
        ]
        items = value.items()
    if items is None:
        return [f"`{path}` is a {type(value).__name__}, which JSON does not have"]
    for key, entry in items:
        faults += _json_faults(_join(path, key), entry)
    return faults
