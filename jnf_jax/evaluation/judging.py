"""Lets classifiers judge a trained model, as its record holds it."""

import dataclasses
import time
from typing import Any, NamedTuple

from jnf_jax.evaluation.coherence import evaluate_coherence
from jnf_jax.evaluation.energy_report import coherence_by_steps, energy_priors
from jnf_jax.evaluation.kept import Kept
from jnf_jax.evaluation.paired import Scores, gains
from jnf_jax.evaluation.protocol import Draws
from jnf_jax.evaluation.refinement import BY_CHAINS, evaluate_refinement
from jnf_jax.evaluation.sampler_record import stand_in
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior, Reweighting
from jnf_jax.names import join_names
from jnf_jax.sampling import ChainSettings

NOTHING_JUDGED = {
    "coherence": dict(conditional={}, joint={}, joint_entropy=None, ceiling=None),
    "classifiers": {},
    "classifier_checkpoint": None,
    "sampler": {},
}
"""A record says so much about coherence where the data have no labels."""


class Judged(NamedTuple):
    """What classifiers found: part of a record; draws and scores of protocol v1."""

    found: dict[str, Any]
    draws: Draws
    scores: Scores


def judge(
    subject: Subject,
    sampler: dict[str, Any],
    refinement: ChainSettings | Reweighting | None = None,
    kept: Kept | None = None,
) -> Judged:
    """Runs the classifiers over protocol v1, over energy priors at several step counts,
    and over draws before and after refinement.

    ``sampler`` are settings as the record holds them; ``refinement`` None is none;
    ``kept`` are draws that an evaluation before this one found.
    """
    begin = time.monotonic()
    remember = kept.remember if kept else lambda name, work: work()
    measured = evaluate_coherence(subject, remember)
    seconds = time.monotonic() - begin + (kept.seconds if kept else 0.0)
    sampled = {"settings": sampler, **measured.sampler}
    if said := stand_in(sampled):
        sampled["stand_in"] = said
    judged = {
        "coherence": {
            "conditional": measured.table.macro,
            "conditional_micro": measured.table.micro,
            "num_subsets": measured.table.num_subsets,
            "joint": measured.joint,
            "joint_entropy": measured.joint_entropy,
            "ceiling": measured.ceiling,
            "interval": measured.interval,
            "gain": gains(measured.scores),
        },
        "subset_coherence": {
            join_names(subset): {t: a.macro for t, a in targets.items()}
            for subset, targets in measured.accuracies.items()
        },
        "sampler": sampled if measured.sampler["subsets"] else {},
    }
    energies = energy_priors(subject.inference, subject.params)
    for name in energies:
        shares, entropies = coherence_by_steps(subject, name)
        by_steps = {"joint_by_steps": shares, "joint_entropy_by_steps": entropies}
        for key, of_prior in by_steps.items():
            judged["coherence"].setdefault(key, {})[name] = of_prior
    if refinement is not None:
        chains, how = refinement, BY_CHAINS
        if isinstance(refinement, Reweighting):  # whose draws need no chain
            chains, how = ChainSettings(), refinement
        posterior = DecoderPosterior(subject.inference, chains, is_weighted=True)
        found = evaluate_refinement(subject, posterior, how)
        judged["refinement"] = {"settings": dataclasses.asdict(refinement), **found}
    wrong = {
        subset[0]: 1 - sum(a.micro for a in targets.values()) / len(targets)
        for subset, targets in measured.accuracies.items()
        if len(subset) == 1
    }
    if subject.dataset.read_label and wrong:
        judged["wrong_bit"] = wrong
    judged |= {
        "classifiers": subject.classifiers.accuracy,
        "classifier_checkpoint": subject.classifiers.checkpoint_id,
        "protocol_seconds": seconds,
        "draws_per_second": measured.draws_per_second,
    }
    return Judged(judged, measured.draws, measured.scores)
