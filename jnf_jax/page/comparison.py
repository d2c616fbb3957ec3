"""What runs' records say, side by side: quantities, spreads, and which is the best."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jnf_jax.evaluation import paired
from jnf_jax.evaluation.measures.tables import find
from jnf_jax.experiments.records import joint_entropy
from jnf_jax.experiments.schema import is_summary
from jnf_jax.experiments.text import format_value, mean_of
from jnf_jax.names import split_names
from jnf_jax.page.runs import Run

Record = Mapping[str, Any]


class Quantity(NamedTuple):
    """A row: a number of each record.

    Attributes:
        heading: What it is, with its unit.
        values: Of each run, None where it has none: a number, or {mean, sd, n}.
        intervals: Of each run, {"low", "high"} or None.
        digits: Behind the decimal point.
        best: "high", "low", or "" where neither is better.
    """

    heading: str
    values: list[Any]
    intervals: list[Mapping[str, Any] | None]
    digits: int = 3
    best: str = ""

    def text(self, run: int) -> str:
        """The number, with its spread."""
        value, interval = self.values[run], self.intervals[run]
        text = format_value(value, self.digits)
        if value is None or is_summary(value) or not interval:
            return text
        low, high = (mean_of(interval[end]) for end in ("low", "high"))
        return f"{text} [{low:.{self.digits}f}, {high:.{self.digits}f}]"

    def is_best(self, run: int) -> bool:
        """Whether no other run's is better, to the digits that are shown."""
        shown = [None if v is None else round(mean_of(v), self.digits)
                 for v in self.values]  # fmt: skip
        known = [v for v in shown if v is not None]
        if not self.best or shown[run] is None or len(known) < 2:
            return False
        return shown[run] == (max if self.best == "high" else min)(known)


def why_incomparable(runs: Sequence[Run]) -> str | None:
    """A sentence where numbers of these runs are not of the same thing."""
    records = [run.record for run in runs if run.record]
    for key, said in (
        ("dataset", "data sets"),
        ("data", "data (their checksums differ)"),
        ("protocol", "protocols"),
        ("num_tuples", "numbers of test tuples"),
        ("classifier_checkpoint", "classifiers"),
    ):
        if len({json.dumps(record.get(key), sort_keys=True) for record in records}) > 1:
            return f"The runs were measured with different {said}: none is called best."
    return None


def protocol(runs: Sequence[Run]) -> list[Quantity]:
    """Coherence by number of views given, jointly, the ceiling, and held-out log q."""
    records = [run.record or {} for run in runs]

    def row(heading: str, path: str, best: str = "high", digits: int = 3) -> Quantity:
        values = [_number(find(record, path)) for record in records]
        interval = path.replace("coherence.", "coherence.interval.", 1)
        ends = [find(record, interval) for record in records]
        known = [e if isinstance(e, Mapping) and "low" in e else None for e in ends]
        return Quantity(heading, values, known, digits, best)

    found = [
        row(f"coherence given {size} view{'s' if size != '1' else ''}",
            f"coherence.conditional.{size}")
        for size in _keys(records, "coherence.conditional", int)
    ]  # fmt: skip
    for prior in _keys(records, "coherence.joint"):
        found.append(
            row(f"joint coherence, z from {prior}", f"coherence.joint.{prior}")
        )
        entropies = [
            joint_entropy(r, prior) if find(r, "coherence.joint") else None
            for r in records
        ]
        heading = f"entropy of its labels, {prior}, nats"
        found.append(Quantity(heading, [*map(_number, entropies)], [None] * len(runs)))
    found.append(row("ceiling: all views given, decoded", "coherence.ceiling"))
    checkpoints = {record.get("stage1_checkpoint") for record in records if record}
    best = "high" if len(checkpoints) == 1 else ""
    for path in ("unimodal_log_prob", "subset_log_prob"):
        for name in _keys(records, path):
            of = ", ".join(split_names(name)) or "nothing"
            if path == "subset_log_prob" and name in _keys(
                records, "unimodal_log_prob"
            ):
                continue
            values = [_number((find(r, path) or {}).get(name)) for r in records]
            heading = f"log q(z | {of}), nats"
            found.append(Quantity(heading, values, [None] * len(runs), 2, best))
    found += [
        row(f"accuracy of the judge of {m}, real data", f"classifiers.{m}", "")
        for m in _keys(records, "classifiers")
    ]
    return [q for q in found if any(v is not None for v in q.values)]


def paired_with_first(runs: Sequence[Run]) -> list[Quantity]:
    """Coherence less that of the first run on the same tuples.

    A run that kept no scores, or scores of other tuples, is not compared.
    """
    first, *others = (paired.find(run.folder) for run in runs)
    if first is None:
        return []
    apart = [
        paired.differences(other, first)
        if other is not None and other.key == first.key
        else {}
        for other in others
    ]
    return [
        Quantity(
            f"given {size}, less that of {runs[0].name}",
            [None, *(of[size]["difference"] if size in of else None for of in apart)],
            [None, *(_ends(of.get(size)) for of in apart)],
        )
        for size in sorted(_merged(apart), key=int)
    ]


def _ends(found: Mapping[str, float | None] | None) -> dict[str, float] | None:
    """The 95 % interval of a difference, by its standard error."""
    if found is None or found["standard_error"] is None:
        return None
    half = 1.96 * found["standard_error"]
    return {"low": found["difference"] - half, "high": found["difference"] + half}


def directions(runs: Sequence[Run]) -> list[Quantity]:
    """Coherence of each view generated from each subset."""
    of_runs = [(run.record or {}).get("subset_coherence") or {} for run in runs]
    found = []
    for given in _merged(of_runs):
        for target in _merged([of.get(given) or {} for of in of_runs]):
            intervals = [
                (find(run.record, "coherence.interval.subsets") or {}).get(given) or {}
                for run in runs
            ]
            values = [_number((of.get(given) or {}).get(target)) for of in of_runs]
            heading = f"{', '.join(split_names(given))} → {target}"
            ends = [of.get(target) for of in intervals]
            found.append(Quantity(heading, values, ends, 3, "high"))
    return found


def measured(runs: Sequence[Run]) -> Iterator[tuple[str, str, list[Quantity]]]:
    """Name of a measure, the sentence that says what it is, and its numbers."""
    shown = [run.shown for run in runs if run.shown]
    declared = {
        json.dumps([table["measure"], table["said"]]): table
        for about in shown
        for table in about.get("tables", ())
    }
    for table in declared.values():
        of_runs = [(run.record or {}).get(table["measure"]) or {} for run in runs]
        found = []
        rows = _keys(of_runs, table["rows"]) if table["rows"] else [""]
        for name in rows:
            of_rows = [_entry(find(of, table["rows"]), name) for of in of_runs]
            for column in table["columns"]:
                before = " ".join(
                    filter(None, (table["heading"] if name else "", name))
                )
                found += _columns(of_rows, column, before)
        if found:
            yield table["measure"], table["said"], found


def _entry(rows: Any, name: str) -> Any:
    return rows if not name else (rows or {}).get(name)


def _columns(
    rows: Sequence[Any], column: Mapping[str, Any], before: str
) -> list[Quantity]:
    """A number of each run; of an object name -> number one a name."""
    values = [find(row, column["path"]) for row in rows]
    names = _merged([v for v in values if isinstance(v, Mapping) and not is_summary(v)])
    found = []
    for name in names or [None]:
        own = values
        if name is not None:
            own = [v.get(name) if isinstance(v, Mapping) else None for v in values]
        numbers = [_number(value) for value in own]
        if any(value is not None for value in numbers):
            parts = filter(None, (before, column["heading"], name))
            about = (column["digits"], column.get("best", ""))
            ends = [None] * len(rows)
            found.append(Quantity(": ".join(parts), numbers, ends, *about))
    return found


def _number(value: Any) -> Any:
    """A number or {mean, sd, n}; None of anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number or is_summary(value) else None


def _keys(
    trees: Sequence[Any], path: str, key: Callable[[str], Any] | None = None
) -> list[str]:
    """The names that lie under ``path`` in any of them, in their order or sorted."""
    found = _merged([find(tree, path) or {} for tree in trees])
    return sorted(found, key=key) if key else found


def _merged(of: Sequence[Any]) -> list[str]:
    return [*dict.fromkeys(name for each in of if isinstance(each, Mapping)
                           for name in each)]  # fmt: skip
