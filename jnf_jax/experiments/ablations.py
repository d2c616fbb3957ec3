"""Ablations: the records of a sweep's variants in one file, and their table.

``python -m jnf_jax.sweep`` writes them; those in results/ablations/ are rendered into
docs/results/ablations.md. docs/results_schema.md describes the file.
"""

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
    for number, variant in enumerate(ablation["variants"]):
        path = f"variants[{number}]"
        if set(variant["values"]) != set(ablation["axes"]):
            faults.append(
                f"`{path}.values` has {sorted(variant['values'])}, expected the axes "
                f"{ablation['axes']}"
            )
        found = validate(variant["record"])
        faults += [f"{path}.record: {fault}" for fault in found]
        wanted = dict.fromkeys([*ablation["quantities"], *ablation["plot"]["y"]])
        for quantity in () if found else wanted:
            try:
                look_up(variant["record"], quantity)
            except ValueError as error:
                faults.append(f"{path}.record: {error}")
    return faults


# --- quantities ----------------------------------------------------------------------


def look_up(record: Mapping[str, Any], path: str) -> Any:
    """A measured quantity of a record: a number, ``{mean, sd, n}`` or None.

    Raises:
        ValueError: There is none at that path of keys joined by dots; what is there is
            told.

    >>> look_up({"coherence": {"conditional": {"1": 0.5}}}, "coherence.conditional.1")
    0.5
    """
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


def path_faults(
    path: str,
    modalities: Sequence[str],
    priors: Sequence[str],
    measures: Sequence[str] = (),
    has_labels: bool = True,
) -> list[str]:
    """Whether a record of such a run can have a quantity, before there is one.

    What is below a measure, a subset or an energy is left to `look_up`. Without labels
    no classifier judges.
    """
    known = [f"unimodal_log_prob.{m}" for m in modalities]
    open_ended = [*measures, "sampler", "subset_coherence", "refinement"]
    open_ended += [f"energy_priors.{prior}" for prior in priors]
    if has_labels:
        sizes = [str(size) for size in range(1, len(modalities))]
        by_key = {
            "conditional": sizes,
            "conditional_micro": sizes,
            "num_subsets": sizes,
            "joint": priors,
            "joint_entropy": priors,
        }
        within = [f"{key}.{name}" for key, names in by_key.items() for name in names]
        bounded = [w for w in within if w.split(".")[0] in ("conditional", "joint")]
        within += ["ceiling"]
        within += [f"interval.{of}.low" for of in [*bounded, "ceiling"]]
        within += [f"interval.{of}.high" for of in [*bounded, "ceiling"]]
        known += [f"coherence.{name}" for name in within]
        known += [
            f"{of}.{m}" for of in ("classifiers", "wrong_bit") for m in modalities
        ]
        by_steps = ("joint_by_steps", "joint_entropy_by_steps")
        open_ended += [f"coherence.{of}.{prior}" for of in by_steps for prior in priors]
        open_ended += ["coherence.interval.subsets"]
    known += ["wall_seconds", "evaluation_seconds", "protocol_seconds"]
    if path in known or any(path.startswith(f"{name}.") for name in open_ended):
        return []
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
