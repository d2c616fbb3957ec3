"""The schema of a record; docs/results_schema.md describes every field.

A measured quantity is a number or, over several training seeds,
``{"mean": …, "sd": …, "n": …}``. A check takes the path of a value and the value, and
returns the faults that it finds, a sentence each. Keys that ``RECORD`` does not name
are free.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from jnf_jax.evaluation.measures import MEASURES, load
from jnf_jax.evaluation.measures.tables import find, rows_of

Record = Mapping[str, Any]
Check = Callable[[str, Any], list[str]]


def is_summary(value: Any) -> bool:
    """Whether ``value`` is a ``{mean, sd, n}``, not names of which "mean" is one."""
    known = isinstance(value, Mapping) and "mean" in value
    return known and (len(value) == 1 or bool(value.keys() & {"sd", "std", "n"}))


def validate(record: Any) -> list[str]:
    """Finds everything that is wrong with a record, all at once.

    Args:
      record: as read from JSON; keys that the schema does not name are free.

    Returns:
      One sentence a fault, naming the field, what it is and what was expected; empty
      if the record is good.
    """
    if not isinstance(record, Mapping):
        return [f"the record is a {type(record).__name__}, expected an object"]
    faults = _fields(RECORD, REQUIRED)("", record)
    coherence, classifiers = record.get("coherence"), record.get("classifiers")
    judged = isinstance(coherence, Mapping) and coherence.get("conditional")
    if judged and isinstance(classifiers, Mapping) and not classifiers:
        faults.append(
            "`classifiers` is empty, expected the accuracy on real test images of "
            "those that judged `coherence.conditional`"
        )
    for name in MEASURES:
        faults += _shown_faults(name, record[name]) if name in record else []
    named = {fault.split()[0] for fault in faults}  # say each only once
    return faults + [f for f in _json_faults("", record) if f.split()[0] not in named]


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


_is_object = _when(lambda value: isinstance(value, Mapping), "an object")


def _each(check: Check, keys: str = "", expected: str = "") -> Check:
    """An object name -> what ``check`` allows, its names being ``expected``."""

    def check_each(path: str, value: Any) -> list[str]:
        faults = _is_object(path, value)
        for name, entry in {} if faults else value.items():
            faults += check(f"{path}.{name}", entry)
            if keys and not re.fullmatch(keys, str(name)):
                faults.append(f"`{path}` has the key {name!r}, expected {expected}")
        return faults

    return check_each


def _directions(check: Check) -> Check:
    """An object names given -> target that is not given -> what ``check`` allows."""

    def check_directions(path: str, value: Any) -> list[str]:
        faults = _each(_each(check))(path, value)
        for given, targets in value.items() if isinstance(value, Mapping) else ():
            known = targets if isinstance(targets, Mapping) else ()
            faults += [
                f"`{path}.{given}` has the target {name!r}, which is given"
                for name in sorted(set(str(given).split("+")) & set(known))
            ]
        return faults

    return check_directions


def _fields(checks: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object with these fields; near misses of missing ones are named."""

    def check(path: str, value: Any) -> list[str]:
        faults, above = _is_object(path, value), f"{path}." if path else ""
        for name, of_field in {} if faults else checks.items():
            if name in value:
                faults += of_field(above + name, value[name])
            elif name in required:
                extra = [str(key) for key in value if key not in checks]
                near = difflib.get_close_matches(name, extra, n=1)
                hint = f"; did you mean it by `{near[0]}`?" if near else ""
                faults.append(f"`{above}{name}` is missing{hint}")
        return faults

    return check


def _coherence(path: str, coherence: Any) -> list[str]:
    """Checks its fields, and that each prior has an entropy where there are several."""
    faults = _fields(COHERENCE, ("conditional", "joint", "joint_entropy", "ceiling"))(
        path, coherence
    )
    if not isinstance(coherence, Mapping):
        return faults
    entropy, joint = coherence.get("joint_entropy"), coherence.get("joint")
    joint = joint if isinstance(joint, Mapping) else {}
    path = f"{path}.joint_entropy"
    if isinstance(entropy, Mapping) and not is_summary(entropy):
        faults += _each(_or_null(NATS))(path, entropy)
        if set(entropy) != set(joint):
            faults.append(
                f"`{path}` has keys {sorted(entropy)}, expected those of "
                f"`coherence.joint`: {sorted(joint)}"
            )
    elif entropy is not None and len(joint) > 1:
        faults.append(
            f"`{path}` is one value, expected one for each prior of "
            f"`coherence.joint`: {sorted(joint)}"
        )
    elif entropy is not None:
        faults += NATS(path, entropy)
    return faults


def _before_and_after(check: Check) -> Check:
    """An object with both, each of them size -> what ``check`` allows."""

    def check_both(path: str, value: Any) -> list[str]:
        if not isinstance(value, Mapping) or set(value) != {"before", "after"}:
            expected = "expected an object with before and after"
            return [f"`{path}` is {value!r}, {expected}"]
        return _each(_each(check))(path, value)

    return check_both


def _shown_faults(name: str, measured: Any) -> list[str]:
    """Faults of a measure's object, as far as its tables show it."""
    if faults := _is_object(name, measured):
        return faults
    for table in load(name).TABLES:
        if not isinstance(find(measured, table.rows) or {}, Mapping):
            faults.append(f"`{name}.{table.rows}` is no object, expected one")
            continue
        for row, values in rows_of(table, measured):
            above = ".".join(filter(None, (name, table.rows, row)))
            for column, value in zip(table.columns, values, strict=True):
                check = _or_null(_number(column.low, column.high))
                if isinstance(value, Mapping) and not is_summary(value):
                    check = _each(check)
                faults += check(f"{above}.{column.path}", value)
    return faults


def _json_faults(path: str, value: Any) -> list[str]:
    """Finds what JSON cannot hold, wherever it is; NaN is no measurement."""
    if value is None or isinstance(value, bool | str | int):
        return []
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"`{path}` is {value}, not finite"]
    if isinstance(value, Mapping):
        faults = [
            f"`{path}` has the key {key!r}, expected a string"
            for key in value
            if not isinstance(key, str)
        ]
        items = value.items()
    elif isinstance(value, list | tuple):
        faults, items = [], enumerate(value)
    else:
        return [f"`{path}` is a {type(value).__name__}, which JSON does not have"]
    for key, entry in items:
        faults += _json_faults(f"{path}.{key}" if path else str(key), entry)
    return faults


# --- the fields of a record ----------------------------------------------------------

SHARE, NATS = _number(0.0, 1.0), _number(0.0)
SHARES = _each(SHARE)
SIZES = (r"[1-9]\d*", 'a subset size as a string: "1", "2", …')
STEPS = (r"0|[1-9]\d*", 'a number of steps as a string: "0", "10", …')
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
    lambda value: (
        isinstance(value, list)
        and value
        and all(type(seed) is int for seed in value)
        and len(set(value)) == len(value)
    ),
    "a list of different integers",
)
SENTENCES = _when(
    lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value),
    "a list of strings",
)
# Null where undefined: the R-hat of a chain that never moved.
DIAGNOSTIC = _or_null(_when(_is_number, "a number or null"))

COHERENCE: dict[str, Check] = {
    "conditional": _each(SHARE, *SIZES),
    "conditional_micro": _each(SHARE, *SIZES),
    "num_subsets": _each(lambda path, value: [], *SIZES),
    "joint": SHARES,
    "joint_entropy": lambda path, value: [],  # with its priors, in `_coherence`
    "joint_by_steps": _each(_each(_or_null(SHARE), *STEPS)),
    "joint_entropy_by_steps": _each(_each(_or_null(NATS), *STEPS)),
    "ceiling": _or_null(SHARE),
    "interval": _fields(
        {
            "conditional": _each(SHARES),
            "subsets": _directions(SHARES),
            "joint": _each(SHARES),
            "ceiling": SHARES,
        }
    ),
}
REQUIRED = (
    *("dataset", "method", "protocol", "config", "command", "commit", "hardware"),
    *("seeds", "wall_seconds", "coherence", "classifiers", "sampler"),
    "stage1_checkpoint",
)
RECORD: dict[str, Check] = {
    **dict.fromkeys(("dataset", "method", "protocol", "config", "command"), TEXT),
    "commit": COMMIT,
    "hardware": TEXT,
    "seeds": SEEDS,
    "wall_seconds": NATS,
    "coherence": _coherence,
    "classifiers": SHARES,
    "sampler": _fields({"settings": _is_object, "subsets": _each(_each(DIAGNOSTIC))}),
    "stage1_checkpoint": _or_null(TEXT),
    "subset_coherence": _directions(SHARE),
    "refinement": _fields(
        {
            "log_joint": _before_and_after(_number()),
            "coherence": _before_and_after(SHARE),
            "ceiling": SHARES,
        },
        ("log_joint", "coherence"),
    ),
    "notes": SENTENCES,
}
