"""One record of several training seeds, from the record of each."""

import statistics
from collections.abc import Sequence
from typing import Any

from jnf_jax.experiments.records import WORST
from jnf_jax.experiments.schema import Record, is_list_of

_NOT_MEASURED = ("data", "versions")

_OF_SOME = ("sampler.stand_in",)
"""Told of the seeds that have cause to: the others' records lack it."""


def summarise(values: Sequence[float]) -> float | dict[str, float | int]:
    """One seed's quantity as it is; of several mean, sd (divisor n − 1) and n.

    Raises:
        ValueError: No values.

    >>> summarise([0.5, 0.75, 1.0])
    {'mean': 0.75, 'sd': 0.25, 'n': 3}
    """
    if not values:
        raise ValueError("`values` is empty, expected one number a seed")
    if len(values) == 1:
        return float(values[0])
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    return {"mean": mean, "sd": sd, "n": len(values)}


def combine(records: Sequence[Record]) -> dict[str, Any]:
    """A record over seeds: each measured number as ``{"mean", "sd", "n"}``.

    Numbers of ``sampler.subsets`` stay numbers: the worst over seeds where a diagnostic
    has a worst, the mean otherwise. Those diagnostics of ``refinement.subsets`` do too,
    all else there is measured. ``key`` is a single run's: the record has none.
    ``stage1_checkpoint`` lists one id a seed, ``command`` each that was run; entries of
    ``continued`` tell their ``seed``; sentences (notes, warnings, what stands in for an
    improper quotient) are those of any seed; null stays null if any seed has it.

    Args:
        records: Valid records of one config, on the same data and commit, one a seed;
            the first gives what all share.

    Raises:
        ValueError: Fewer than two records, a seed twice, or records that differ in what
            is not measured (config, protocol, commit, data, settings, …).
    """
    if len(records) < 2:
        raise ValueError(f"`records` has {len(records)} entries, expected 2 or more")
    seeds = [seed for record in records for seed in record["seeds"]]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"`records` are of the seeds {seeds}, expected different ones")
    apart = ("seeds", "key", "command", "stage1_checkpoint", "continued")
    shared = [{k: v for k, v in r.items() if k not in apart} for r in records]
    checkpoints = [record["stage1_checkpoint"] for record in records]
    continued = [
        {"seed": record["seeds"][0], **entry}
        for record in records
        for entry in record.get("continued", [])
    ]
    return {
        **_merge("", shared),
        **({"continued": continued} if continued else {}),
        "seeds": seeds,
        "command": " && ".join(dict.fromkeys(r["command"] for r in records)),
        "stage1_checkpoint": None if None in checkpoints else ", ".join(checkpoints),
    }


def _merge(path: str, values: Sequence[Any]) -> Any:
    """Leaf by leaf: floats are measured, all else must agree."""
    first = values[0]
    keys = path.split(".")
    of_chains = keys[:2] == ["sampler", "subsets"] and not isinstance(first, dict)
    if of_chains or (keys[:2] == ["refinement", "subsets"] and keys[-1] in WORST):
        if None in values:
            return None
        pick = WORST.get(keys[-1])
        return pick(values) if pick else sum(values) / len(values)
    measured = keys[0] not in _NOT_MEASURED and "settings" not in keys
    if measured and all(isinstance(value, dict) for value in values):
        below = f"{path}." if path else ""
        found = dict.fromkeys(key for value in values for key in value)
        lacking = sorted(
            key
            for key in found
            if below + key not in _OF_SOME and any(key not in value for value in values)
        )
        if lacking:
            raise ValueError(
                f"`{path or 'record'}` has {lacking} in some of the records only"
            )
        return {
            k: _merge(below + k, [value[k] for value in values if k in value])
            for k in found
        }
    if measured and all(isinstance(value, float) for value in values):
        return summarise(values)
    if all(value == first for value in values):
        return first
    if all(is_list_of(value, str) for value in values):
        return list(dict.fromkeys(entry for value in values for entry in value))
    if measured and all(isinstance(value, float | None) for value in values):
        return None
    raise ValueError(
        f"`{path}` differs between the records: {sorted(map(str, values))}"
    )
