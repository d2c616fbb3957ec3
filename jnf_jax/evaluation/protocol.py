"""Protocol v1: its settings, its name, and what it draws; ``coherence.py`` runs it.

One z per test tuple, decoder means (which classifiers clip to [0, 1] where the data lie
there), frozen classifiers, self-pairs excluded, macro-averages. ``v1-small`` is the
same on all held-out tuples of a small set.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax import sampling
from jnf_jax.types import Views

PROTOCOLS = ("v1", "v1-small")

SUBSETS = ("all", "none")
"""Subsets that are given: every one, or none, so that only joint draws are measured."""

V1_TUPLES, V1_PRIOR_SAMPLES, V1_DIAGNOSTIC_DATA = 10_000, 10_000, 64
V1_SAMPLER = sampling.ChainSettings()
"""Sizes that the protocol fixes; it takes the defaults of the sampler."""

Predict = Callable[[Views], dict[str, jax.Array]]
"""{m: pictures f32[B, ...]} -> {m: labels i32[B]}, deterministic.

Weights that it needs are best bound by ``jax.tree_util.Partial``: they are then handed
to the compiled program instead of being built into it.
"""


@dataclasses.dataclass(frozen=True)
class ProtocolSettings:
    """How a trained model is evaluated.

    Attributes:
        protocol: Its name in the record.
        subsets: A member of ``SUBSETS``. "none" leaves out what is generated from
            subsets, most of the time that an evaluation takes, and with it what only
            subsets need: the unimodal posteriors.
        num_tuples: Held-out tuples, from the first; 0: all of them.
        num_prior_samples: Draws for joint coherence.
        batch_size: Data in one call. Draws depend on it; it must hold the data that
            adapt the sampler and those that diagnose it.
        num_diagnostic_data: Data on which R-hat is computed, 4 chains each.
        seed: Of all draws, apart from the training seed.
    """

    protocol: str = "v1"
    subsets: str = "all"
    num_tuples: int = 0
    num_prior_samples: int = 10_000
    batch_size: int = 1_000
    num_diagnostic_data: int = 64
    seed: int = 0

    def faults(self) -> list[str]:
        """What is wrong, one line a fault."""
        known = {"protocol": PROTOCOLS, "subsets": SUBSETS}
        found = [
            f"`evaluation.{field}` is {getattr(self, field)!r}, expected one of {names}"
            for field, names in known.items()
            if getattr(self, field) not in names
        ]
        least = {
            "num_tuples": 0,
            "num_prior_samples": 1,
            "batch_size": self.num_diagnostic_data,
            "num_diagnostic_data": 2,
            "seed": 0,
        }
        for field, bound in least.items():
            if getattr(self, field) < bound:
                got = getattr(self, field)
                found.append(f"`evaluation.{field}` is {got}, expected >= {bound}")
        return found


def protocol_name(
    settings: ProtocolSettings, sampler: sampling.ChainSettings, test_size: int
) -> str:
    """The protocol's name, or "<name>-custom" where a run departs from its rules."""
    expected = test_size if settings.protocol == "v1-small" else V1_TUPLES
    is_exact = (
        settings.subsets == "all"
        and (settings.num_tuples or test_size) == expected
        and settings.num_prior_samples == V1_PRIOR_SAMPLES
        and settings.num_diagnostic_data == V1_DIAGNOSTIC_DATA
        and dataclasses.replace(sampler, initial_step_size=0.1) == V1_SAMPLER
    )
    return settings.protocol if is_exact else f"{settings.protocol}-custom"


class Draws(NamedTuple):
    """The latents that protocol v1 draws, on the host, for all that decodes them.

    Attributes:
        given: subset -> z of each held-out tuple, leaves [N, ...].
        unconditional: prior -> draws from it.
    """

    given: dict[tuple[str, ...], Any]
    unconditional: dict[str, Any]


class SubsetDraws(NamedTuple):
    """Draws given a subset, and what classifiers read in them.

    Attributes:
        predicted: {t: labels i32[N]} of all t ∉ S, or of all where S is all.
        z: Of each tuple, leaves [N, ...].
        quality: How the chains did, ready for JSON; None where none ran.
    """

    predicted: dict[str, np.ndarray]
    z: Any
    quality: dict[str, Any] | None


Remember = Callable[[str, Callable[[], SubsetDraws]], SubsetDraws]
"""(name of a subset, what finds its draws) -> these, found now or before."""
