"""Ablations: the records of a sweep's variants in one file, and their table.

``python -m jnf_jax.sweep`` writes them; those in results/ablations/ are rendered into
docs/results/ablations.md. docs/results_schema.md describes the file.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from jnf_jax.experiments.schema import is_summary, validate
from jnf_jax.experiments.text import TextTable, format_value, mean_of

Ablation = Mapping[str, Any]

_KEYS = {
    "sweep": str,
    "command": str,
    "axes": list,
    "quantities": list,
    "plot": dict,
    "variants": list,
}


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

    Args:
      record: a valid one.
      path: keys joined by dots.

    Raises:
      ValueError: there is none at that path; what is there is told.

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

    What is below a measure, a subset or an energy is left to `look_up`.

    Args:
      path: as in `look_up`.
      modalities: of the data set.
      priors: names of what joint draws are made from.
      measures: beside the protocol.
      has_labels: whether classifiers can judge.
    """
    sizes = [str(size) for size in range(1, len(modalities))]
    keyed = {"unimodal_log_prob": modalities}
    if has_labels:
        keyed |= {
            "coherence.conditional": sizes,
            "coherence.conditional_micro": sizes,
            "coherence.joint": priors,
            "coherence.joint_entropy": priors,
            "coherence.joint_by_steps": priors,
            "coherence.joint_entropy_by_steps": priors,
            "coherence": ["ceiling"],
            "coherence.num_subsets": sizes,
            **{
                f"coherence.interval.{of}": ["low", "high"]
                for of in [
                    *(f"conditional.{size}" for size in sizes),
                    *(f"joint.{prior}" for prior in priors),
                    "ceiling",
                ]
            },
            "classifiers": modalities,
            "wrong_bit": modalities,
        }
    known = [f"{section}.{key}" for section, keys in keyed.items() for key in keys]
    known += ["wall_seconds", "evaluation_seconds", "protocol_seconds"]
    open_ended = [*measures, "sampler", "subset_coherence", "refinement"]
    open_ended += ["coherence.interval.subsets"] if has_labels else []
    open_ended += [f"energy_priors.{prior}" for prior in priors]
    open_ended += [name for name in known if "by_steps" in name]
    if path in known or any(path.startswith(f"{name}.") for name in open_ended):
        return []
    near = difflib.get_close_matches(path, known, n=1)
    hint = f". Did you mean {near[0]!r}?" if near else ""
    return [
        f"quantity {path!r} is in no record of this run, expected one as in "
        f"docs/results_schema.md, of the modalities {list(modalities)}, the priors "
        f"{list(priors)} and the measures {list(measures)}{hint}"
    ]


# --- as text -------------------------------------------------------------------------


def table_of(ablation: Ablation) -> TextTable:
    """A row a variant: its values, then the quantities."""
    rows = [
        [
            *(str(variant["values"][axis]) for axis in ablation["axes"]),
            *(
                _cell(look_up(variant["record"], quantity))
                for quantity in ablation["quantities"]
            ),
        ]
        for variant in ablation["variants"]
    ]
    return TextTable([*ablation["axes"], *ablation["quantities"]], rows)


def _cell(value: Any) -> str:
    """Shares with three digits, what is larger with fewer."""
    size = abs(mean_of(value) or 0)
    return format_value(value, digits=3 if size < 10 else 1 if size < 1_000 else 0)
