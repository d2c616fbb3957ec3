"""Ablations: the records of a sweep's variants in one file, and their table.

``python -m jnf_jax.sweep`` writes them; those in results/ablations/ are rendered into
docs/results/ablations.md. docs/results_schema.md describes the file.
"""

import contextlib
import itertools
import string
from collections.abc import Mapping, Sequence
from typing import Any

from jnf_jax.experiments.schema import is_summary, validate
from jnf_jax.experiments.text import format_value, markdown, mean_of
from jnf_jax.options import near

Ablation = Mapping[str, Any]

_KEYS = dict(sweep=str, command=str, axes=list, quantities=list)
_KEYS |= dict(plot=dict, variants=list)


def faults_of(ablation: Any) -> list[str]:
    """Everything that is wrong with an ablation, its records included."""
    if not isinstance(ablation, Mapping):
        return [f"it is a {type(ablation).__name__}, expected an object"]
    faults = [
        f"`{key}` is {ablation.get(key)!r}, expected {kind.__name__}"
        for key, kind in _KEYS.items()
        if not isinstance(ablation.get(key), kind)
    ]
    if faults:
        return faults
    plot = ablation["plot"]
    if missing := sorted({"x", "y", "log_x"} - set(plot)):
        return [f"`plot` lacks {missing}"]
    for number, variant in enumerate(ablation["variants"]):
        path = f"variants[{number}]"
        if set(variant["values"]) != set(ablation["axes"]):
            faults.append(
                f"`{path}.values` has {sorted(variant['values'])}, expected the axes "
                f"{ablation['axes']}"
            )
        found = validate(variant["record"])
        faults += [f"{path}.record: {fault}" for fault in found]
        over = [] if plot["x"] in ablation["axes"] else [plot["x"]]
        wanted = dict.fromkeys([*ablation["quantities"], *plot["y"], *over])
        for quantity in () if found else wanted:
            try:
                look_up(variant["record"], quantity)
            except ValueError as error:
                faults.append(f"{path}.record: {error}")
    return faults


# --- quantities ----------------------------------------------------------------------


def look_up(record: Mapping[str, Any], path: str) -> Any:
    """A measured quantity of a record: a number, ``{mean, sd, n}`` or None.

    Of paths between which "|" stands it is the first that there is: methods have priors
    of other names. Where the last is empty there need not be any.

    Raises:
        ValueError: There is none at that path of keys joined by dots; what is there is
            told.

    >>> look_up({"coherence": {"conditional": {"1": 0.5}}}, "coherence.conditional.1")
    0.5
    >>> look_up({"coherence": {"joint": {"laplace": 0.5}}},
    ...     "coherence.joint.normal|coherence.joint.laplace")
    0.5
    """
    *others, last = path.split("|")
    for other in others:
        with contextlib.suppress(ValueError):
            return _look_up(record, other)
    return _look_up(record, last) if last or not others else None


def _look_up(record: Mapping[str, Any], path: str) -> Any:
    value, passed = record, []
    for key in path.split("."):
        if not isinstance(value, Mapping) or is_summary(value) or key not in value:
            known = sorted(value) if isinstance(value, Mapping) else "a number"
            at = ".".join(passed) or "the record"
            raise ValueError(
                f"quantity {path!r} is not in the record: {at} has {known}"
            )
        value, passed = value[key], [*passed, key]
    if isinstance(value, bool | str | list) or (
        isinstance(value, Mapping) and not is_summary(value)
    ):
        told = sorted(value) if isinstance(value, Mapping) else repr(value)
        raise ValueError(f"quantity {path!r} is no number in the record, but {told}")
    return value


PATHS = """wall_seconds training_seconds evaluation_seconds protocol_seconds
num_parameters unimodal_log_prob.{m} subset_log_prob. energy_priors.{prior}. {measure}.
sampler. subset_coherence. refinement.""".split()

JUDGED = """classifiers.{m} wrong_bit.{m} coherence.ceiling coherence.conditional.{size}
coherence.conditional_micro.{size} coherence.num_subsets.{size} coherence.joint.{prior}
coherence.joint_entropy.{prior} coherence.joint_by_steps.{prior}.
coherence.joint_entropy_by_steps.{prior}. coherence.interval.conditional.{size}.{end}
coherence.interval.joint.{prior}.{end} coherence.interval.ceiling.{end}
coherence.interval.subsets.""".split()
"""Quantities of any record, and of one that classifiers judged; below those that end in
a dot `look_up` alone tells what there is."""


def path_faults(
    path: str,
    modalities: Sequence[str],
    priors: Sequence[str],
    measures: Sequence[str] = (),
    has_labels: bool = True,
) -> list[str]:
    """Whether a record of such a run can have a quantity, before there is one."""
    if "|" in path:
        about = (modalities, priors, measures, has_labels)
        found = [path_faults(one, *about) if one else [] for one in path.split("|")]
        return [] if [] in found else found[-1]
    names = {
        "m": modalities,
        "prior": priors,
        "measure": measures,
        "size": [str(size) for size in range(1, len(modalities))],
        "end": ("low", "high"),
    }
    known = []
    for pattern in PATHS + (JUDGED if has_labels else []):
        fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
        for chosen in itertools.product(*(names[name] for name in fields)):
            known.append(pattern.format(**dict(zip(fields, chosen, strict=True))))
    if path in known or any(path.startswith(of) for of in known if of[-1] == "."):
        return []
    known = [of for of in known if of[-1] != "."]
    return [
        f"quantity {path!r} is in no record of this run, expected one as in "
        f"docs/results_schema.md, of the modalities {list(modalities)}, the priors "
        f"{list(priors)} and the measures {list(measures)}{near(path, known)}"
    ]


# --- as text -------------------------------------------------------------------------


def table_of(ablation: Ablation) -> list[str]:
    """Lines of Markdown, a row a variant: its values, then the quantities."""
    axes, quantities = ablation["axes"], ablation["quantities"]
    rows = [
        [str(variant["values"][axis]) for axis in axes]
        + [_cell(look_up(variant["record"], quantity)) for quantity in quantities]
        for variant in ablation["variants"]
    ]
    return markdown([*axes, *quantities], rows)


def _cell(value: Any) -> str:
    """Shares with three digits, what is larger with fewer."""
    size = abs(mean_of(value) or 0)
    return format_value(value, digits=3 if size < 10 else 1 if size < 1_000 else 0)
