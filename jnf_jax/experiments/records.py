"""Records of runs: written, read, and what is looked up in them.

``schema.py`` says what a record must hold, docs/results_schema.md what each field
means.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jnf_jax.evaluation.sampler_record import is_closed_form
from jnf_jax.experiments.schema import Record, is_summary, validate
from jnf_jax.experiments.text import mean_of
from jnf_jax.names import split_names
from jnf_jax.runtime.files import read_json, write_whole


def write(
    path: str | os.PathLike,
    record: Record,
    faults_of: Callable[[Any], Sequence[str]] = validate,
) -> Path:
    """Writes a valid record, or an ablation that ``ablations.faults_of`` checks.

    Raises:
        ValueError: It has faults; all are listed.
    """
    _raise_on(path, faults_of(record))
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    return write_whole(path, text + "\n")


def write_all(
    paths: Sequence[Path | None],
    record: Record,
    faults_of: Callable[[Any], Sequence[str]] = validate,
) -> None:
    """``write`` to every place that takes it; where none does, to the terminal.

    Raises:
        ValueError: It has faults; all are listed.
        OSError: Some place did not take it; each other has it.
    """
    places, failed = [path for path in paths if path is not None], {}
    for path in places:
        try:
            write(path, record, faults_of)
        except OSError as error:
            failed[path] = f"{path} ({error.strerror or error})"
    if len(failed) == len(places):
        print(json.dumps(record))
    if failed:
        kept = ", ".join(str(path) for path in places if path not in failed)
        raise OSError(
            f"the record could not be written to {', '.join(failed.values())}; "
            f"it is {f'in {kept}' if kept else 'printed above'}"
        )


def read(
    path: str | os.PathLike, faults_of: Callable[[Any], Sequence[str]] = validate
) -> dict[str, Any]:
    """Reads and checks what ``write`` wrote.

    Raises:
        ValueError: The file is no JSON, or has faults; all are listed.
    """
    record = read_json(path)
    _raise_on(path, faults_of(record))
    return record


def _raise_on(path: str | os.PathLike, faults: Sequence[str]) -> None:
    if faults:
        listed = "\n  ".join(faults)
        raise ValueError(f"{path} is not valid:\n  {listed}")


def joint_entropy(record: Record, prior: str) -> Any:
    """The label entropy that belongs to `coherence.joint[prior]`; None if unmeasured.

    `coherence.joint_entropy` is one value where one prior was drawn from, and keyed
    like `coherence.joint` where several were.
    """
    entropy = record["coherence"]["joint_entropy"]
    if isinstance(entropy, Mapping) and not is_summary(entropy):
        return entropy.get(prior)
    return entropy


def refinement_rows(refinement: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """Size -> log p(x_S, z) before and after, coherence (or ceiling) before and after.

    All modalities together have no coherence of others: the ceiling stands there.
    """
    moments, rows = ("before", "after"), []
    for size in sorted(refinement["log_joint"]["before"], key=int):
        nats, share = (
            [refinement[of][moment].get(size) for moment in moments]
            for of in ("log_joint", "coherence")
        )
        if share[0] is None:
            share = [refinement.get("ceiling", {}).get(moment) for moment in moments]
        rows.append((size, [*nats, *share]))
    return rows


DIAGNOSTICS: dict[str, tuple[str, Callable[[list], Any], int]] = {
    "acceptance": ("acceptance", min, 2),
    "max R-hat": ("rhat_max", max, 2),
    "unconverged": ("share_unconverged", max, 3),
    "min ESS": ("ess_min", min, 0),
    "improper": ("share_improper", max, 3),
}
"""Heading -> key of `sampler.subsets[…]`, which extreme is the worst, digits."""

WORST = {key: pick for key, pick, _ in DIAGNOSTICS.values()}
"""Diagnostic of a sampler -> which extreme is the worst."""


def worst_of_sampler(subsets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The worst of each diagnostic in `sampler.subsets` (or a refinement's), as text.

    A null (an R-hat that is not a number because a chain never moved) is worse than
    every number. The keys are headings of the diagnostics that are there; where no
    chain ran, nothing was accepted.
    """
    found = {}
    for heading, (key, pick, digits) in DIAGNOSTICS.items():
        known = [of for of in subsets.values() if key in of]
        if key == "acceptance":
            known = [of for of in known if of.get("step_size") != 0]
        values = [of[key] for of in known]
        if values:
            is_known = None not in values
            found[heading] = f"{pick(values):.{digits}f}" if is_known else "undefined"
    return found


def worst_by_size(sampler: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """{"1": `worst_of_sampler`, …}: of the subsets of each size, in order."""
    of_size: dict[int, dict[str, Any]] = {}
    for name, chains in sampler.get("subsets", {}).items():
        of_size.setdefault(len(split_names(name)), {})[name] = chains
    return {str(size): worst_of_sampler(of_size[size]) for size in sorted(of_size)}


def sampler_kernel(sampler: Mapping[str, Any]) -> str:
    """What drew: "closed form", `sampler.settings.kernel`, or that nobody wrote it."""
    if is_closed_form(sampler):
        return "closed form"
    return sampler.get("settings", {}).get("kernel", "(kernel not recorded)")


PROPER_BELOW = 0.01
"""A subset counts as proper where so small a share of its data has no density."""


class Properness(NamedTuple):
    """Subsets of one size that are proper, or that are not; see ``by_properness``.

    Attributes:
        num_subsets: How many there are.
        coherence: Mean over their targets, then over them; None where there is none.
        share_improper: The smallest and the largest share of data without a density.
    """

    num_subsets: int
    coherence: float | None
    share_improper: tuple[float, float]


def by_properness(record: Record) -> dict[str, tuple[Properness, Properness]]:
    """{size: (proper subsets, improper ones)}, where a record knows some improper.

    A subset is improper where the product of the experts' bases over the divisor's
    powers is no density for ``PROPER_BELOW`` of its data or more: what is drawn there
    is not what stands in the formula. An average over both kinds is of two estimators.
    """
    of_size: dict[str, tuple[list, list]] = {}
    for name, chains in record["sampler"].get("subsets", {}).items():
        share = mean_of(chains.get("share_improper"))
        targets = record.get("subset_coherence", {}).get(name)
        if share is not None and targets:
            found = [mean_of(value) for value in targets.values()]
            kinds = of_size.setdefault(str(len(split_names(name))), ([], []))
            kinds[share >= PROPER_BELOW].append((sum(found) / len(found), share))
    return {
        size: tuple(map(_properness, of_size[size]))
        for size in sorted(of_size, key=int)
        if of_size[size][1]
    }


def _properness(of: list[tuple[float, float]]) -> Properness:
    if not of:
        return Properness(0, None, (0.0, 0.0))
    coherences, shares = zip(*of, strict=True)
    mean = sum(coherences) / len(coherences)
    return Properness(len(of), mean, (min(shares), max(shares)))
