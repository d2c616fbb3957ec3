"""How a subset's chains did, as a record holds it."""

from typing import Any

import jax
import numpy as np

from jnf_jax import sampling
from jnf_jax.methods.method import SubsetInfo

DIAGNOSTICS = (
    *("rhat_max", "rhat_median", "ess_min", "ess_median"),
    *("share_unconverged", "share_growing"),
)


def sampler_quality(
    info: SubsetInfo, step_size: float, diagnosis: sampling.ChainDiagnostics | None
) -> dict[str, Any]:
    """Means over data of how their chains did, and "warnings": sentences; for JSON.

    ``info`` is of all data, ``diagnosis`` of some with several chains each; the step
    size is the leapfrog integrator's, 0 where no chain ran.
    """
    improper = info.improper
    quality = {
        "step_size": step_size,
        "acceptance": float(info.acceptance.mean()),
        "share_with_divergences": float((info.divergences > 0).mean()),
        "share_improper": None if improper is None else float(improper.mean()),
    }
    warnings = []
    if quality["share_improper"]:
        warnings.append(
            "the product of the experts is improper for "
            f"{quality['share_improper']:.1%} of the data: they are broader than the "
            "prior somewhere"
        )
    if not 0.5 <= quality["acceptance"]:
        warnings.append(f"mean acceptance {quality['acceptance']:.2f}")
    if quality["share_with_divergences"] > 0.05:
        warnings.append(
            f"chains of {quality['share_with_divergences']:.1%} of the data diverged"
        )
    if diagnosis is not None:
        quality |= diagnostics(diagnosis)
        warnings += sampling.warnings(diagnosis)
    return quality | {"warnings": warnings}


def diagnostics(
    of: sampling.ChainDiagnostics, names: tuple[str, ...] = DIAGNOSTICS
) -> dict[str, float | None]:
    """Numbers of chains by name; None where undefined."""
    return {name: finite_or_none(getattr(of, name)) for name in names}


def finite_or_none(value: jax.Array | float) -> float | None:
    """JSON has no NaN: the R-hat of a chain that never moved is None."""
    return float(value) if np.isfinite(value) else None
