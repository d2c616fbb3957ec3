"""Records of runs: written, read, and what is looked up in them.

``schema.py`` says what a record must hold, docs/results_schema.md what each field
means.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jnf_jax.experiments.schema import Record, is_summary, validate


def write(
    path: str | os.PathLike,
    record: Record,
    faults_of: Callable[[Any], Sequence[str]] = validate,
) -> Path:
    """Writes a valid record; the file is there whole or not at all.

    Args:
      path: of the file; its folder is made.
      record: what to write.
      faults_of: finds what is wrong with it; an ablation's is
        ``ablations.faults_of``.

    Raises:
      ValueError: it has faults; all are listed.
    """
    path = Path(path)
    _raise_on(path, faults_of(record))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def read(
    path: str | os.PathLike, faults_of: Callable[[Any], Sequence[str]] = validate
) -> dict[str, Any]:
    """Reads and checks what ``write`` wrote.

    Raises:
      ValueError: the file is no JSON, or has faults; all are listed.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    _raise_on(Path(path), faults_of(record))
    return record


def _raise_on(path: Path, faults: Sequence[str]) -> None:
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
    log_joint, coherence = refinement["log_joint"], refinement["coherence"]
    moments, ceiling = ("before", "after"), refinement.get("ceiling", {})
    rows = []
    for size in sorted(log_joint["before"], key=int):
        nats = [log_joint[moment].get(size) for moment in moments]
        share = [coherence[moment].get(size) for moment in moments]
        if share[0] is None:
            share = [ceiling.get(moment) for moment in moments]
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
    """The worst of each diagnostic over subsets, as text.

    Args:
      subsets: `sampler.subsets` or `refinement.subsets`, or a part of them. A null
        (an R-hat that is not a number because a chain never moved) is worse than every
        number.

    Returns:
      Heading → value, for the diagnostics that are there.
    """
    found = {}
    for heading, (key, pick, digits) in DIAGNOSTICS.items():
        values = [subset[key] for subset in subsets.values() if key in subset]
        if values:
            is_known = None not in values
            found[heading] = f"{pick(values):.{digits}f}" if is_known else "undefined"
    return found


def sampler_kernel(sampler: Mapping[str, Any]) -> str:
    """`sampler.settings.kernel`, or a word that says that it was not recorded."""
    return sampler.get("settings", {}).get("kernel", "(kernel not recorded)")
