"""What a record says of its sampler, beside the numbers; read without jax."""

from collections.abc import Mapping
from typing import Any


def is_closed_form(sampler: Mapping[str, Any]) -> bool:
    """Whether no chain ran: subsets have a quality, and all a step of no length."""
    steps = [of.get("step_size") for of in sampler.get("subsets", {}).values()]
    return bool(steps) and not any(steps)


def stand_in(sampler: Mapping[str, Any]) -> str | None:
    """What is drawn where a quotient is no density; None where no subset has such data.

    ``sampler`` is a record's, with ``settings`` and ``subsets``.
    """
    subsets = sampler.get("subsets", {}).values()
    if not any(of.get("share_improper") for of in subsets):
        return None
    if is_closed_form(sampler):
        return "the undivided product, in the dimensions without a density"
    num = sampler["settings"]["num_transitions"]
    return f"where {num} transitions of a chain end"
