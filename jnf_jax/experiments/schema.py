"""What a record of a run must hold; docs/results_schema.md describes every field.

A measured quantity is a number or, over several training seeds,
``{"mean": …, "sd": …, "n": …}``; later metrics add keys, which are free until a check
for them is added here.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from jnf_jax.experiments.shown import SHOWN, find, rows_of

Record = Mapping[str, Any]

_COMMIT = re.compile(r"[0-9a-f]{7,40}(-dirty)?|unknown")
_SUMMARY_KEYS = {"mean", "sd", "n"}


def is_summary(value: Any) -> bool:
    """Whether ``value`` is a ``{mean, sd, n}``, not names of which "mean" is one."""
    known = isinstance(value, Mapping) and "mean" in value
    return known and (len(value) == 1 or bool(value.keys() & {"sd", "std", "n"}))


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _value_faults(path: str, value: Any, low: float, high: float) -> list[str]:
    """Faults of a number or ``{mean, sd, n}`` that must lie in [low, high]."""
    if isinstance(value, Mapping):
        if set(value) != _SUMMARY_KEYS:
            return [f"`{path}` has keys {sorted(value)}, expected mean, sd, n"]
        if not (_is_number(value["sd"]) and value["sd"] >= 0):
            return [f"`{path}.sd` is {value['sd']!r}, expected a number >= 0"]
        if type(value["n"]) is not int or value["n"] < 2:
            return [f"`{path}.n` is {value['n']!r}, expected an integer >= 2"]
        path, value = f"{path}.mean", value["mean"]
    if not _is_number(value) or not low <= value <= high:
        between = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f">= {low:g}"
        return [f"`{path}` is {value!r}, expected a finite number {between}"]
    return []


def _map_faults(
    path: str, values: Any, *, low: float = 0.0, high: float = 1.0
) -> list[str]:
    """Faults of an object name → value."""
    if not isinstance(values, Mapping):
        return [f"`{path}` is {values!r}, expected an object"]
    faults = []
    for name, value in values.items():
        faults += _value_faults(f"{path}.{name}", value, low, high)
    return faults


def _coherence_faults(coherence: Any) -> list[str]:
    """Faults of the `coherence` object."""
    if not isinstance(coherence, Mapping):
        return [f"`coherence` is {coherence!r}, expected an object"]
    needed = ("conditional", "joint", "joint_entropy", "ceiling")
    faults = [f"`coherence.{k}` is missing" for k in needed if k not in coherence]
    for key in ("conditional", "conditional_micro", "joint"):
        faults += _map_faults(f"coherence.{key}", coherence.get(key, {}))
    for key in ("conditional", "conditional_micro", "num_subsets"):
        table = coherence.get(key, {})
        for size in table if isinstance(table, Mapping) else ():
            if not re.fullmatch(r"[1-9]\d*", str(size)):
                faults.append(
                    f"`coherence.{key}` has the key {size!r}, expected a subset size "
                    'as a string: "1", "2", …'
                )
    faults += _by_steps_faults(coherence) + _interval_faults(coherence)
    if coherence.get("ceiling") is not None:
        faults += _value_faults("coherence.ceiling", coherence["ceiling"], 0.0, 1.0)
    return faults + _entropy_faults(coherence)


def _subset_coherence_faults(directions: Any) -> list[str]:
    """Faults of the optional `subset_coherence` object: given → target → value."""
    path = "subset_coherence"
    faults, known = _directions(path, directions)
    for given, targets in known.items():
        faults += _map_faults(f"{path}.{given}", targets)
    return faults


def _directions(path: str, directions: Any) -> tuple[list[str], dict[str, Mapping]]:
    """Faults of the keys of given → target → …, and of it what can be read."""
    if not isinstance(directions, Mapping):
        return [f"`{path}` is {directions!r}, expected an object"], {}
    faults = []
    for given, targets in directions.items():
        if not isinstance(targets, Mapping):
            faults.append(f"`{path}.{given}` is {targets!r}, expected an object")
            continue
        faults += [
            f"`{path}.{given}` has the target {name!r}, which is given"
            for name in sorted(set(str(given).split("+")) & set(targets))
        ]
    return faults, {g: of for g, of in directions.items() if isinstance(of, Mapping)}


def _by_steps_faults(coherence: Mapping[str, Any]) -> list[str]:
    """Faults of what is keyed by prior and then by number of steps."""
    faults = []
    for key, high in (("joint_by_steps", 1.0), ("joint_entropy_by_steps", math.inf)):
        path, priors = f"coherence.{key}", coherence.get(key, {})
        if not isinstance(priors, Mapping):
            faults.append(f"`{path}` is {priors!r}, expected an object")
            continue
        for prior, table in priors.items():
            if not isinstance(table, Mapping):
                faults.append(f"`{path}.{prior}` is {table!r}, expected an object")
                continue
            measured = {k: v for k, v in table.items() if v is not None}
            faults += _map_faults(f"{path}.{prior}", measured, high=high)
            faults += [
                f"`{path}.{prior}` has the key {steps!r}, expected a number of steps "
                'as a string: "0", "10", …'
                for steps in table
                if not re.fullmatch(r"0|[1-9]\d*", str(steps))
            ]
    return faults


def _interval_faults(coherence: Mapping[str, Any]) -> list[str]:
    """Faults of `coherence.interval`: each interval holds shares, low and high."""
    path, interval = "coherence.interval", coherence.get("interval", {})
    if not isinstance(interval, Mapping):
        return [f"`{path}` is {interval!r}, expected an object"]
    intervals = {"ceiling": interval["ceiling"]} if "ceiling" in interval else {}
    faults = []
    for key in ("conditional", "joint"):
        table = interval.get(key, {})
        if not isinstance(table, Mapping):
            faults.append(f"`{path}.{key}` is {table!r}, expected an object")
            continue
        intervals |= {f"{key}.{name}": bounds for name, bounds in table.items()}
    found, known = _directions(f"{path}.subsets", interval.get("subsets", {}))
    faults += found
    for given, targets in known.items():
        intervals |= {f"subsets.{given}.{t}": of for t, of in targets.items()}
    for name, bounds in intervals.items():
        faults += _map_faults(f"{path}.{name}", bounds)
    return faults


def _entropy_faults(coherence: Mapping[str, Any]) -> list[str]:
    """Faults of `coherence.joint_entropy`: a value, or keyed like `coherence.joint`."""
    entropy, path = coherence.get("joint_entropy"), "coherence.joint_entropy"
    joint = coherence.get("joint")
    joint = joint if isinstance(joint, Mapping) else {}
    if not isinstance(entropy, Mapping) or is_summary(entropy):
        if entropy is None:
            return []
        if len(joint) > 1:
            return [
                f"`{path}` is one value, expected one for each prior of "
                f"`coherence.joint`: {sorted(joint)}"
            ]
        return _value_faults(path, entropy, 0.0, math.inf)
    faults = _map_faults(
        path, {k: v for k, v in entropy.items() if v is not None}, high=math.inf
    )
    if set(entropy) != set(joint):
        faults.append(
            f"`{path}` has keys {sorted(entropy)}, expected those of "
            f"`coherence.joint`: {sorted(joint)}"
        )
    return faults


def _refinement_faults(refinement: Any) -> list[str]:
    """Faults of the optional `refinement` object: values before and after."""
    if not isinstance(refinement, Mapping):
        return [f"`refinement` is {refinement!r}, expected an object"]
    faults = []
    for key, low, high in (
        ("log_joint", -math.inf, math.inf),
        ("coherence", 0.0, 1.0),
    ):
        table = refinement.get(key)
        if not isinstance(table, Mapping) or set(table) != {"before", "after"}:
            faults.append(
                f"`refinement.{key}` is {table!r}, expected an object with before and "
                "after"
            )
            continue
        for moment, values in table.items():
            path = f"refinement.{key}.{moment}"
            faults += _map_faults(path, values, low=low, high=high)
    ceiling = refinement.get("ceiling", {})
    return faults + _map_faults("refinement.ceiling", ceiling)


def _shown_faults(name: str, measured: Any) -> list[str]:
    """Faults of a measure's object, as far as tables show it."""
    if not isinstance(measured, Mapping):
        return [f"`{name}` is {measured!r}, expected an object"]
    faults = []
    for table in SHOWN[name]:
        if not isinstance(find(measured, table.rows) or {}, Mapping):
            faults.append(f"`{name}.{table.rows}` is no object, expected one")
            continue
        for row, values in rows_of(table, measured):
            above = ".".join(filter(None, (name, table.rows, row)))
            for column, value in zip(table.columns, values, strict=True):
                path, bounds = f"{above}.{column.path}", (column.low, column.high)
                if isinstance(value, Mapping) and not is_summary(value):
                    known = {k: v for k, v in value.items() if v is not None}
                    faults += _map_faults(path, known, low=bounds[0], high=bounds[1])
                elif value is not None:
                    faults += _value_faults(path, value, *bounds)
    return faults


def _text_faults(path: str, value: Any) -> list[str]:
    if isinstance(value, str) and value.strip():
        return []
    return [f"`{path}` is {value!r}, expected a string that says something"]


def _commit_faults(path: str, value: Any) -> list[str]:
    if isinstance(value, str) and _COMMIT.fullmatch(value):
        return []
    return [
        f"`{path}` is {value!r}, expected 7 to 40 hex digits, with -dirty after them "
        "if the tree differed, or unknown"
    ]


def _seeds_faults(path: str, value: Any) -> list[str]:
    if (
        isinstance(value, list)
        and value
        and all(type(seed) is int for seed in value)
        and len(set(value)) == len(value)
    ):
        return []
    return [f"`{path}` is {value!r}, expected a list of different integers"]


def _sampler_faults(path: str, value: Any) -> list[str]:
    """Diagnostics are numbers, or null where undefined (a chain that never moved)."""
    if not isinstance(value, Mapping):
        return [f"`{path}` is {value!r}, expected an object"]
    faults = [
        f"`{path}.{key}` is {value[key]!r}, expected an object"
        for key in ("settings", "subsets")
        if not isinstance(value.get(key, {}), Mapping)
    ]
    subsets = value.get("subsets")
    subsets = subsets if isinstance(subsets, Mapping) else {}
    for name, found in subsets.items():
        if not isinstance(found, Mapping):
            faults.append(f"`{path}.subsets.{name}` is {found!r}, expected an object")
            continue
        faults += [
            f"`{path}.subsets.{name}.{key}` is {number!r}, expected a number or null"
            for key, number in found.items()
            if number is not None and not _is_number(number)
        ]
    return faults


_CHECKS: dict[str, Callable[[str, Any], list[str]]] = {
    "dataset": _text_faults,
    "method": _text_faults,
    "protocol": _text_faults,
    "config": _text_faults,
    "command": _text_faults,
    "commit": _commit_faults,
    "hardware": _text_faults,
    "seeds": _seeds_faults,
    "wall_seconds": lambda path, value: _value_faults(path, value, 0.0, math.inf),
    "coherence": lambda path, value: _coherence_faults(value),
    "classifiers": _map_faults,
    "sampler": _sampler_faults,
    "stage1_checkpoint": lambda path, value: (
        [] if value is None else _text_faults(path, value)
    ),
}


def _json_faults(path: str, value: Any) -> list[str]:
    """What JSON cannot hold, wherever in the record it is; NaN is no measurement."""
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


def validate(record: Any) -> list[str]:
    """Everything that is wrong with a record, all at once.

    Args:
      record: as read from JSON; keys that the schema does not name are free.

    Returns:
      One sentence a fault, naming the field, what it is and what was expected; empty
      if the record is good.
    """
    if not isinstance(record, Mapping):
        return [f"the record is a {type(record).__name__}, expected an object"]
    faults = []
    for key, check in _CHECKS.items():
        if key in record:
            faults += check(key, record[key])
        else:
            extra = [str(k) for k in record if k not in _CHECKS]
            near = difflib.get_close_matches(key, extra, n=1)
            hint = f"; did you mean it by `{near[0]}`?" if near else ""
            faults.append(f"`{key}` is missing{hint}")
    coherence, classifiers = record.get("coherence"), record.get("classifiers")
    judged = isinstance(coherence, Mapping) and coherence.get("conditional")
    if judged and isinstance(classifiers, Mapping) and not classifiers:
        faults.append(
            "`classifiers` is empty, expected the accuracy on real test images of "
            "those that judged `coherence.conditional`"
        )
    if "subset_coherence" in record:
        faults += _subset_coherence_faults(record["subset_coherence"])
    if "refinement" in record:
        faults += _refinement_faults(record["refinement"])
    for name in SHOWN:
        faults += _shown_faults(name, record[name]) if name in record else []
    notes = record.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        faults.append(f"`notes` is {notes!r}, expected a list of strings")
    named = {fault.split()[0] for fault in faults}  # say each only once
    return faults + [f for f in _json_faults("", record) if f.split()[0] not in named]
