"""Protocol v1: its settings, its name, and what it draws; ``coherence.py`` runs it.

One z per test tuple, decoder means (which classifiers clip to [0, 1] where the data lie
there), frozen classifiers, self-pairs excluded, macro-averages. ``v1-small`` is the
same on all held-out tuples of a small set.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax import sampling
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.options import option
from jnf_jax.types import Views

PROTOCOLS = ("v1", "v1-small")

SUBSETS = ("some", "all", "none")
"""Subsets that are given: at most ``MAX_SUBSETS``, every one, or none, so that only
joint draws are measured."""

MAX_SUBSETS = 30
"""All of five modalities; six have 62."""

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
    """How a trained model is evaluated."""

    protocol: str = option(
        "v1", "Name of the protocol in the record.", one_of=PROTOCOLS
    )
    subsets: str = option(
        "some",
        '"some" is every subset of up to five modalities, and of more of them 30 that '
        '`seed` chooses, about as many of each size; "all" is every one. "none" leaves '
        "out what is generated from subsets, most of the time that an evaluation "
        "takes, and with it what only subsets need: the unimodal posteriors.",
        one_of=SUBSETS,
    )
    num_tuples: int = option(
        0, "Held-out tuples, from the first; 0: all of them.", at_least=0
    )
    num_prior_samples: int = option(10_000, "Draws for joint coherence.", at_least=1)
    batch_size: int = option(
        1_000,
        "Data in one call. Draws depend on it; it must hold the data that adapt the "
        "sampler and those that diagnose it.",
        at_least=1,
    )
    num_diagnostic_data: int = option(
        64, "Data on which R-hat is computed, 4 chains each.", at_least=2
    )
    seed: int = option(
        0, "Seed of all draws, apart from the training seed.", at_least=0
    )

    def cross_faults(self, field: str) -> list[str]:
        """One batch holds the data that diagnose the sampler."""
        if self.batch_size >= self.num_diagnostic_data:
            return []
        return [
            f"`{field}.batch_size` is {self.batch_size}, expected >= "
            f"`num_diagnostic_data` = {self.num_diagnostic_data}"
        ]


def asked_subsets(
    settings: ProtocolSettings, modalities: Collection[str]
) -> list[tuple[str, ...]]:
    """Those that are given, of one modality up to all but one; whatever "none" says."""
    if settings.subsets == "all":
        return coherence.subsets(modalities)
    return coherence.some_subsets(modalities, most=MAX_SUBSETS, seed=settings.seed)


def protocol_name(
    settings: ProtocolSettings,
    sampler: sampling.ChainSettings,
    test_size: int,
    modalities: Collection[str],
) -> str:
    """The protocol's name, or "<name>-custom" where a run departs from its rules."""
    expected = test_size if settings.protocol == "v1-small" else V1_TUPLES
    num_subsets = 2 ** len(modalities) - 2
    is_exact = (
        (settings.subsets == "all" or num_subsets <= MAX_SUBSETS)
        and settings.subsets != "none"
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
        draws_per_second: Of batches after the first; None where there is one alone.
    """

    predicted: dict[str, np.ndarray]
    z: Any
    quality: dict[str, Any] | None
    draws_per_second: float | None = None


Remember = Callable[[str, Callable[[], SubsetDraws]], SubsetDraws]
"""(name of a subset, what finds its draws) -> these, found now or before."""
