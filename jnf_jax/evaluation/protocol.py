"""Protocol v1: coherence of every subset, jointly, and its ceiling, on held-out tuples.

Written once against ``methods.Inference``: one z per test tuple, decoder means (which
classifiers clip to [0, 1] where the data lie there), frozen classifiers, self-pairs
excluded, macro-averages. ``v1-small`` is the same on all held-out tuples of a small
set.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax import sampling
from jnf_jax.evaluation.held_out import HeldOut
from jnf_jax.evaluation.sampler_quality import sampler_quality
from jnf_jax.evaluation.statistics import bootstrap, coherence
from jnf_jax.methods.method import Inference
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views

PROTOCOLS = ("v1", "v1-small")

SUBSETS = ("all", "none")
"""What may be given: every subset, or none, where only joint draws are measured."""

V1_TUPLES, V1_PRIOR_SAMPLES, V1_DIAGNOSTIC_DATA = 10_000, 10_000, 64
V1_SAMPLER = sampling.ChainSettings()
"""What the protocol fixes; the defaults of the sampler are its own."""

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
    """What is generated from a subset.

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


class CoherenceReport(NamedTuple):
    """What protocol v1 measures; JSON-able but for ``accuracies`` and ``draws``.

    Attributes:
        accuracies: subset -> target -> ``ClassAccuracy``.
        table: Averages of these by subset size; empty where no subset was asked for.
        joint: Agreement of all classifiers on decoded draws, by the prior drawn from.
        joint_entropy: Entropy of the labels agreed on, nats, likewise.
        ceiling: The same agreement on decoded joint-posterior draws of the tuples.
        interval: Bootstrap intervals (95 %, over tuples and prior draws):
            "conditional" by size, "subsets" by S and target, "joint" by prior,
            "ceiling"; each {"low", "high"}.
        sampler: How each subset's chains did, and sentences that warn of it.
        draws: What was decoded.
    """

    accuracies: dict[tuple[str, ...], dict[str, coherence.ClassAccuracy]]
    table: coherence.CoherenceTable
    joint: dict[str, float]
    joint_entropy: dict[str, float | None]
    ceiling: float
    interval: dict[str, Any]
    sampler: dict[str, Any]
    draws: Draws


def evaluate_coherence(
    inference: Inference,
    params: dict[str, Params],
    held_out: HeldOut,
    predict: Predict,
    settings: ProtocolSettings,
    *,
    report: Callable[[str], None] = lambda line: None,
    remember: Remember = lambda name, work: work(),
) -> CoherenceReport:
    """Runs protocol v1.

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        held_out: Tuples with labels.
        predict: Classifiers of all modalities.
        settings: Sizes and seed.
        report: Called with a line for each subset that is done.
        remember: May know a subset's draws from before.

    Returns:
        CoherenceReport.
    """
    predict_decoded = decoded_predictions(inference, predict)
    keys = iter(jax.random.split(jax.random.key(settings.seed), 2**16))
    num_tuples = settings.num_tuples or held_out.size
    accuracies, shown, sampler, warnings = {}, {}, {}, []
    draws = Draws({}, {})
    for subset, key in _subsets_asked_for(inference, settings, keys):
        name = "+".join(subset)
        work = functools.partial(
            _predict_from_subset, inference, params, held_out, num_tuples, subset,
            predict_decoded, settings, key,
        )  # fmt: skip
        predicted, draws.given[subset], quality = remember(name, work)
        accuracies[subset] = accuracies_of(predicted, held_out)
        shown[subset] = predicted
        mean = np.mean([a.macro for a in accuracies[subset].values()])
        report(f"given {', '.join(subset)}: coherence {mean:.3f}")
        if quality is not None:
            quality_warnings = quality.pop("warnings")
            warnings += [f"given {name}: {text}" for text in quality_warnings]
            for text in quality_warnings:
                report(f"  warning: {text}")
            sampler[name] = quality
    predicted, _, _ = _predict_from_subset(
        inference, params, held_out, num_tuples, tuple(inference.modalities),
        predict_decoded, settings, next(keys),
    )  # fmt: skip
    ceiling = coherence.agreement(predicted).share
    shares, entropies = {}, {}
    for name in inference.prior_names:
        drawn, draws.unconditional[name] = _predict_from_prior(
            inference, params, name, predict_decoded, settings, next(keys),
            held_out.mesh,
        )  # fmt: skip
        joint = coherence.agreement(drawn)
        shares[name] = joint.share
        entropies[name] = coherence.label_entropy(joint.labels, held_out.num_classes)
    return CoherenceReport(
        accuracies,
        coherence.coherence_table(accuracies),
        shares,
        entropies,
        ceiling,
        bootstrap.intervals(shown, held_out.labels, shares, ceiling, settings),
        {"subsets": sampler, "warnings": warnings},
        draws,
    )


def draw_latents(
    inference: Inference,
    params: dict[str, Params],
    held_out: HeldOut,
    settings: ProtocolSettings,
) -> Draws:
    """The draws of ``evaluate_coherence``, where there is nothing to judge them by."""
    keys = iter(jax.random.split(jax.random.key(settings.seed), 2**16))
    num_tuples = settings.num_tuples or held_out.size
    draws = Draws({}, {})
    for subset, key in _subsets_asked_for(inference, settings, keys):
        _, draws.given[subset], _ = _predict_from_subset(
            inference, params, held_out, num_tuples, subset, _nothing, settings, key
        )
    next(keys)  # the ceiling's
    for name in inference.prior_names:
        _, draws.unconditional[name] = _predict_from_prior(
            inference, params, name, _nothing, settings, next(keys), held_out.mesh
        )
    return draws


def _subsets_asked_for(
    inference: Inference, settings: ProtocolSettings, keys: Iterator[jax.Array]
) -> Iterator[tuple[tuple[str, ...], jax.Array]]:
    """Each with its key; those left out use theirs up, so that joint draws stay."""
    for subset in coherence.subsets(inference.modalities):
        key = next(keys)
        if settings.subsets == "all":
            yield subset, key


def _nothing(
    params: dict[str, Params], z: Any, targets: Sequence[str]
) -> dict[str, jax.Array]:
    return {}


def accuracies_of(
    predicted: dict[str, np.ndarray], held_out: HeldOut
) -> dict[str, coherence.ClassAccuracy]:
    """Of what the first tuples generated: {t: how often its labels are theirs}."""
    return {
        target: coherence.class_accuracy(
            own, held_out.labels[: len(own)], num_classes=held_out.num_classes
        )
        for target, own in predicted.items()
    }


def decoded_predictions(
    inference: Inference, predict: Predict
) -> Callable[[dict[str, Params], Any, Sequence[str]], dict[str, jax.Array]]:
    """(params, z, targets) -> {t: labels of t's decoder means}.

    A program a modality: subsets share them, whatever their targets.
    """
    predict_one = _compiled_prediction(inference)
    judge = jax.tree_util.Partial(predict)

    def predict_decoded(params, z, targets):
        return {t: predict_one(judge, params, z, t) for t in targets}

    return predict_decoded


@functools.cache
def _compiled_prediction(inference: Inference) -> Callable:
    @functools.partial(jax.jit, static_argnums=3)
    def predict_one(predict, params: dict[str, Params], z: Any, m: str) -> jax.Array:
        return predict({m: inference.decode(params, z)[m].mean()})[m]

    return predict_one


def _predict_from_subset(
    inference, params, held_out, num_tuples, subset, predict_decoded, settings, rng_key
) -> SubsetDraws:
    """Draws given ``subset``, decoded and classified."""
    batch_size = min(settings.batch_size, num_tuples)
    adapt_key, diagnose_key, *keys = jax.random.split(
        rng_key, 2 + -(-num_tuples // batch_size)
    )
    targets = coherence.targets_of(subset, inference.modalities)
    first = held_out.views(np.arange(batch_size, dtype=np.int32))
    step_size = inference.adapt(params, adapt_key, first, subset)
    few = {m: v[: settings.num_diagnostic_data] for m, v in first.items()}
    diagnosis = inference.diagnose(params, diagnose_key, few, subset, step_size)

    def draw(number: int, indices: np.ndarray):
        views = held_out.views(indices)
        z, info = inference.infer(params, keys[number], views, subset, step_size)
        # The step size is one number for all data, known already.
        per_datum = info and info._replace(step_size=None)
        return predict_decoded(params, z, targets), z, per_datum

    predicted, z, info = map_batches(draw, num_tuples, batch_size)
    if info is None:
        return SubsetDraws(predicted, z, None)
    # No chain, hence no step, where the posterior is known in closed form.
    size = 0.0 if step_size is None else float(step_size)
    return SubsetDraws(predicted, z, sampler_quality(info, size, diagnosis))


def _predict_from_prior(
    inference, params, name, predict_decoded, settings, rng_key, mesh
) -> tuple[dict[str, np.ndarray], Any]:
    @functools.partial(jax.jit, static_argnums=2)
    def sample(params: dict[str, Params], rng_key: jax.Array, num: int) -> Any:
        z = inference.sample_prior(params, rng_key, num, name)
        return parallel.constrain_batch(z, mesh)

    def draw(number: int, rows: np.ndarray):
        z = sample(params, jax.random.fold_in(rng_key, number), len(rows))
        return predict_decoded(params, z, inference.modalities), z

    return map_batches(draw, settings.num_prior_samples, settings.batch_size)
