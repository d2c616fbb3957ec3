"""Records of runs: written, read, and printed as a table for a terminal.

`jnf_jax.experiments.schema` says what a record must hold, docs/results_schema.md what
each field means.
"""

import json
import os
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.experiments.schema import Record, is_summary, validate
from jnf_jax.experiments.shown import SHOWN, rows_of

__all__ = [
    "Record",
    "console_table",
    "format_duration",
    "format_value",
    "is_summary",
    "joint_entropy",
    "mean_of",
    "read",
    "refinement_rows",
    "sampler_kernel",
    "summarise",
    "validate",
    "worst_of_sampler",
    "write",
]


def summarise(values: Sequence[float]) -> float | dict[str, float | int]:
    """One number as it is; several seeds as mean, sample standard deviation and n.

    Args:
      values: the quantity, one entry a training seed.

    Returns:
      The number, or ``{"mean", "sd" (divisor n − 1), "n"}``.

    Raises:
      ValueError: no values.

    >>> summarise([0.5, 0.75, 1.0])
    {'mean': 0.75, 'sd': 0.25, 'n': 3}
    """
    if not values:
        raise ValueError("`values` is empty, expected one number a seed")
    if len(values) == 1:
        return float(values[0])
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    return {"mean": mean, "sd": sd, "n": len(values)}


def joint_entropy(record: Record, prior: str) -> Any:
    """The label entropy that belongs to `coherence.joint[prior]`; None if unmeasured.

    `coherence.joint_entropy` is one value where one prior was drawn from, and keyed
    like `coherence.joint` where several were.
    """
    entropy = record["coherence"]["joint_entropy"]
    if isinstance(entropy, Mapping) and not is_summary(entropy):
        return entropy.get(prior)
    return entropy


def write(path: str | os.PathLike, record: Record) -> Path:
    """Write a valid record; the file is there whole or not at all.

    Raises:
      ValueError: `validate` finds faults; all are listed.
    """
    path = Path(path)
    _raise_on(path, validate(record))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def read(path: str | os.PathLike) -> dict[str, Any]:
    """Read and check a record.

    Raises:
      ValueError: the file is no JSON, or `validate` finds faults; all are listed.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    _raise_on(Path(path), validate(record))
    return record


def _raise_on(path: Path, faults: Sequence[str]) -> None:
    if faults:
        listed = "\n  ".join(faults)
        raise ValueError(f"{path} is not a valid record:\n  {listed}")


# --- as text -------------------------------------------------------------------------


def mean_of(value: Any) -> float | int | None:
    """Of a measured quantity over seeds; of one seed the number, null where absent.

    >>> mean_of({"mean": 0.5, "sd": 0.1, "n": 3}), mean_of(0.25)
    (0.5, 0.25)
    """
    return value["mean"] if is_summary(value) else value


def format_value(
    value: Any, *, digits: int = 3, plus_minus: str = "±", absent: str = "–"
) -> str:
    """A measured quantity as text; ``absent`` where it was not measured.

    >>> format_value({"mean": 0.5, "sd": 0.0214, "n": 4}), format_value(None)
    ('0.500 ± 0.021', '–')
    """
    if value is None:
        return absent
    if not is_summary(value):
        return f"{value:.{digits}f}"
    text, spread = f"{value['mean']:.{digits}f}", value.get("sd")
    return text if spread is None else f"{text} {plus_minus} {spread:.{digits}f}"


def format_duration(seconds: Any) -> str:
    """Wall time in the unit that a person would use.

    >>> format_duration(212.3), format_duration(5900), format_duration({"mean": 86400})
    ('212 s', '98 min', '24.0 h')
    """
    seconds = mean_of(seconds)
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def console_table(record: Record) -> str:
    """The record for a person at a terminal: plain ASCII, at most 80 columns.

    Conditional coherence by subset size, joint coherence with its label entropy, the
    ceiling, the accuracies of the classifiers that judged, and how well the sampler
    mixed, so that no number is seen without what bounds it.

    Args:
      record: a valid record.

    Returns:
      Lines joined by newlines, without one at the end.
    """
    seeds = ", ".join(map(str, record["seeds"]))
    plural = "s" if len(record["seeds"]) > 1 else ""
    title = (
        f"{record['dataset']} | {record['method']} | protocol {record['protocol']} | "
        f"seed{plural} {seeds}"
    )
    lines = textwrap.wrap(title, 80) + ["-" * 80]
    if record["classifiers"]:
        lines += _coherence_lines(record)
    lines += _classifier_lines(record["classifiers"])
    lines += _sampler_lines(record["sampler"])
    lines += _refinement_lines(record.get("refinement"))
    for name in SHOWN:
        lines += _measure_lines(name, record.get(name))
    lines.append(f"wall time {format_duration(record['wall_seconds'])}")
    return "\n".join(lines)


def _ascii(value: Any, digits: int = 3) -> str:
    return format_value(value, digits=digits, plus_minus="+-", absent="-")


def _coherence_lines(record: Record) -> list[str]:
    """Header, a line a subset size, a line a prior, the ceiling."""
    coherence = record["coherence"]
    counts = coherence.get("num_subsets", {})
    micro = coherence.get("conditional_micro", {})
    row = "{:<36}{:>8}{:>18}{:>18}".format
    lines, sizes = [], sorted(coherence["conditional"], key=int)
    lines += [row("coherence", "subsets", "macro", "micro")] if sizes else []
    for size in sizes:
        name = f"  given {size} modalit{'y' if size == '1' else 'ies'}"
        count = str(counts.get(size, "-"))
        value = _ascii(coherence["conditional"][size])
        lines.append(row(name, count, value, _ascii(micro.get(size))))
    row = "{:<36}{:>26}{:>18}".format
    if coherence["joint"]:
        heading = "" if sizes else "coherence"
        lines.append(row(heading, "share", "entropy (nats)"))
    for prior, share in sorted(coherence["joint"].items()):
        entropy = _ascii(joint_entropy(record, prior))
        lines.append(row(f"  joint, z from {prior}", _ascii(share), entropy))
    ceiling = _ascii(coherence["ceiling"])
    lines.append(row("  ceiling, z from joint posterior", ceiling, ""))
    return [line.rstrip() for line in lines]


def _classifier_lines(classifiers: Mapping[str, Any]) -> list[str]:
    """Accuracy on real test data, a few modalities a line."""
    if not classifiers:
        return []
    entries = [f"{name} {_ascii(value)}" for name, value in sorted(classifiers.items())]
    text = "   ".join(entry.replace(" ", "\0") for entry in entries)
    wrapped = textwrap.wrap(text, 78)
    head = "classifiers' accuracy on real test data"
    return [head] + [f"  {line.replace(chr(0), ' ')}" for line in wrapped]


def refinement_rows(refinement: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """Size -> log p(x_S, z) before and after, coherence (or ceiling) before and after.

    All modalities together have no coherence of others: the ceiling stands there.
    """
    log_joint, coherence = refinement["log_joint"], refinement["coherence"]
    rows = []
    for size in sorted(log_joint["before"], key=int):
        share = [coherence[moment].get(size) for moment in ("before", "after")]
        if share[0] is None:
            ceiling = refinement.get("ceiling", {})
            share = [ceiling.get(moment) for moment in ("before", "after")]
        both = [log_joint[moment].get(size) for moment in ("before", "after")]
        rows.append((size, [*both, *share]))
    return rows


def _refinement_lines(refinement: Mapping[str, Any] | None) -> list[str]:
    """What chains through the decoders changed, size by size."""
    if not refinement:
        return []
    settings = refinement.get("settings", {})
    lines = [
        f"refined by {settings.get('num_transitions', '?')} transitions of "
        f"{settings.get('kernel', '?')} through the decoders",
        f"{'':<10}{'log p(x, z), nats':>36}{'coherence, last: ceiling':>34}",
    ]
    row = "{:<10}{:>16} -> {:>16}{:>15} -> {:>15}".format
    for size, (*both, before, after) in refinement_rows(refinement):
        shown = [_ascii(value, digits=1) for value in both]
        lines.append(row(f"  given {size}", *shown, _ascii(before), _ascii(after)))
    return lines


def _measure_lines(name: str, measured: Mapping[str, Any] | None) -> list[str]:
    """What its tables show, a line a number; by name, as many a line as fit."""
    lines = []
    for table in SHOWN[name] if measured else ():
        for row, values in rows_of(table, measured):
            lines.append(" ".join(filter(None, (name, table.heading, row))))
            for column, value in zip(table.columns, values, strict=True):
                if isinstance(value, Mapping) and not is_summary(value):
                    items = sorted(value.items())
                    text = "   ".join(
                        f"{k} {_ascii(v, column.digits)}" for k, v in items
                    )
                else:
                    text = _ascii(value, column.digits)
                lines += _beside(f"  {column.heading}", text)
    return lines


def _beside(heading: str, text: str) -> list[str]:
    """Heading and text in one line of 80, the text to the right; else below it."""
    if len(heading) + len(text) + 2 <= 80:
        return [f"{heading}{text:>{80 - len(heading)}}"]
    return [heading, *(f"    {line}" for line in textwrap.wrap(text, 76))]


# Heading -> key of `sampler.subsets[…]`, which extreme is the worst, digits.
_DIAGNOSTICS: dict[str, tuple[str, Callable[[list], Any], int]] = {
    "acceptance": ("acceptance", min, 2),
    "max R-hat": ("rhat_max", max, 2),
    "unconverged": ("share_unconverged", max, 3),
    "min ESS": ("ess_min", min, 0),
    "improper": ("share_improper", max, 3),
}


WORST = {key: pick for key, pick, _ in _DIAGNOSTICS.values()}
"""Diagnostic of a sampler -> which extreme is the worst."""


def worst_of_sampler(subsets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The worst of each diagnostic over subsets, as text.

    Args:
      subsets: `sampler.subsets` or `refinement.subsets`, or a part of them. A null
        (an R-hat that is not a number because a chain never moved) is worse than every
        number.

    Returns:
      Heading → value, for the diagnostics that are there.
    """
    found = {}
    for heading, (key, pick, digits) in _DIAGNOSTICS.items():
        values = [subset[key] for subset in subsets.values() if key in subset]
        if values and None in values:
            found[heading] = "undefined"
        elif values:
            found[heading] = f"{pick(values):.{digits}f}"
    return found


def sampler_kernel(sampler: Mapping[str, Any]) -> str:
    """`sampler.settings.kernel`, or a word that says that it was not recorded."""
    return sampler.get("settings", {}).get("kernel", "(kernel not recorded)")


def _sampler_lines(sampler: Mapping[str, Any]) -> list[str]:
    """The worst that was seen among the subsets of each size."""
    subsets = sampler.get("subsets", {})
    if not subsets:
        return []
    row = "{:<20}{:>12}{:>12}{:>12}{:>12}{:>12}".format
    lines = [
        f"sampler {sampler_kernel(sampler)}, the worst subset of each size",
        row("", *_DIAGNOSTICS),
    ]
    for size in sorted({len(name.split("+")) for name in subsets}):
        chosen = {n: s for n, s in subsets.items() if len(n.split("+")) == size}
        worst = worst_of_sampler(chosen)
        name = f"  given {size} modalit{'y' if size == 1 else 'ies'}"
        lines.append(row(name, *(worst.get(h, "-") for h in _DIAGNOSTICS)))
    return lines
