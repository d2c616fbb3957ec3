"""What classifiers say of a trained model, as its record holds it: protocol v1."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from jnf_jax.evaluation.held_out import HeldOut
from jnf_jax.evaluation.kept import Kept
from jnf_jax.evaluation.protocol import (
    CoherenceReport,
    Draws,
    Predict,
    evaluate_coherence,
)
from jnf_jax.evaluation.refinement import evaluate_refinement
from jnf_jax.evaluation.subject import Subject
from jnf_jax.experiments import energy_report
from jnf_jax.experiments.experiment import Setup
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.types import Params

NOTHING_JUDGED = {
    "coherence": {
        "conditional": {},
        "joint": {},
        "joint_entropy": None,
        "ceiling": None,
    },
    "classifiers": {},
    "classifier_checkpoint": None,
    "sampler": {},
}
"""What a record says of coherence where the data have no labels."""


def judge(
    setup: Setup, subject: Subject, energies: tuple[str, ...], kept: Kept | None
) -> tuple[dict[str, Any], Draws]:
    """What classifiers say: protocol v1, energies by steps, and before refinement.

    Returns:
        Their part of the record, and what protocol v1 drew.
    """
    inference, params, held_out = subject.inference, subject.params, subject.held_out
    settings, report = subject.protocol, subject.report
    predict, begin = subject.classifiers.predict, time.monotonic()
    remember = kept.remember if kept else lambda name, work: work()
    measured = evaluate_coherence(
        inference, params, held_out, predict, settings, report=report, remember=remember
    )
    seconds = time.monotonic() - begin + (kept.seconds if kept else 0.0)
    by_steps = {
        name: energy_report.coherence_by_steps(
            inference, params, name, predict, held_out.num_classes, settings, report
        )
        for name in energies
    }
    refined = _refined(setup, params, held_out, predict, report)
    judged = {
        **_measured(setup, measured, by_steps),
        **({"refinement": refined} if refined else {}),
        **(_wrong_bits(measured) if setup.dataset.read_label else {}),
        "classifiers": subject.classifiers.accuracy,
        "classifier_checkpoint": subject.classifiers.checkpoint_id,
        "protocol_seconds": seconds,
    }
    return judged, measured.draws


def _measured(
    setup: Setup, measured: CoherenceReport, by_steps: dict[str, tuple[dict, dict]]
) -> dict[str, Any]:
    """What protocol v1 measured, as the schema names it; and energies by steps."""
    of_energies = {
        "joint_by_steps": {name: shares for name, (shares, _) in by_steps.items()},
        "joint_entropy_by_steps": {name: nats for name, (_, nats) in by_steps.items()},
    }
    return {
        "coherence": {
            "conditional": measured.table.macro,
            "conditional_micro": measured.table.micro,
            "num_subsets": measured.table.num_subsets,
            "joint": measured.joint,
            "joint_entropy": measured.joint_entropy,
            "ceiling": measured.ceiling,
            "interval": measured.interval,
            **(of_energies if by_steps else {}),
        },
        "subset_coherence": {
            "+".join(subset): {t: a.macro for t, a in targets.items()}
            for subset, targets in measured.accuracies.items()
        },
        "sampler": {
            "settings": dataclasses.asdict(setup.experiment.sampler)
            | dataclasses.asdict(setup.experiment.quotient),
            **measured.sampler,
        }
        if measured.sampler["subsets"]
        else {},
    }


def _refined(
    setup: Setup,
    params: dict[str, Params],
    held_out: HeldOut,
    predict: Predict,
    report: Callable[[str], None],
) -> dict[str, Any] | None:
    """What chains through the decoders change; None where none are asked for."""
    chains = setup.experiment.refinement
    if chains is None:
        return None
    found = evaluate_refinement(
        DecoderPosterior(setup.method.inference, chains, is_weighted=True),
        params,
        held_out,
        predict,
        setup.experiment.evaluation,
        report=report,
    )
    return {"settings": dataclasses.asdict(chains), **found}


def _wrong_bits(measured: CoherenceReport) -> dict[str, Any]:
    """{m: share of what is generated from m that shows another label than m}."""
    wrong = {
        subset[0]: 1 - sum(a.micro for a in targets.values()) / len(targets)
        for subset, targets in measured.accuracies.items()
        if len(subset) == 1
    }
    return {"wrong_bit": wrong} if wrong else {}
