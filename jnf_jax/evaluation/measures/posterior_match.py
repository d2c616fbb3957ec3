"""Does inference match the model? Gap, two-sample tests and calibration in one record.

===============  ===============================================================
gap              E KL(q(z|X) ‖ q_m(z|x_m)), never 0 where others inform of z
two-sample, 1    (x_m, z ~ q(z|X)) against (x_m, z ~ q_m(z|x_m)): the best q_m
                 reaches 0.5, for over x_{−m} the joint posterior averages to it
two-sample, S    draws given x_S, of one modality up to all, against long chains on
                 p(z) Π_{m∈S} p(x_m|z) through the decoders
calibration      ranks of z* among draws given X_S ~ p(X_S|z*), ``calibration.py``
===============  ===============================================================

The last two are of the generative model itself: λ = β = 1, whatever was trained.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from jnf_jax import sampling
from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.measures.calibration import (
    NUM_BINS,
    draw_truth,
    subset_ranks,
    uniformity,
)
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.measures.two_sample_posterior import chain_test, unimodal_test
from jnf_jax.evaluation.posterior import posterior_gap
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.sampler_quality import diagnostics
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.statistics.two_sample import NUM_FOLDS
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.method import shared_latent
from jnf_jax.methods.subset import NUM_DIAGNOSTIC_CHAINS
from jnf_jax.options import option


@dataclasses.dataclass(frozen=True)
class Settings:
    """How much of it is measured; the gap takes the tuples of the protocol."""

    num_pairs: int = option(
        2_000,
        "Tuples of the two-sample tests of single modalities, from the first.",
        at_least=10 * NUM_FOLDS,
    )
    num_chain_data: int = option(
        16, "Tuples that long chains run on, from the first.", at_least=1
    )
    num_chains: int = option(
        32,
        "Chains a tuple, each of them one draw; as many amortised draws.",
        at_least=NUM_DIAGNOSTIC_CHAINS,
    )
    num_transitions: int = option(
        200,
        "Transitions of each chain, from a draw of the subset posterior.",
        at_least=4,
    )
    num_subsets: int = option(
        1, "Subsets of each size, the first ones; 0: all.", at_least=0
    )
    num_calibration_data: int = option(
        1_000, "Simulated tuples.", at_least=5 * NUM_BINS
    )
    num_calibration_draws: int = option(31, "L, among which z* is ranked.", at_least=1)

    def cross_faults(self, field: str) -> list[str]:
        """Enough rows for each fold of a classifier, and as many draws to each bin."""
        found = []
        rows, draws = self.num_chain_data * self.num_chains, self.num_calibration_draws
        if rows < 10 * NUM_FOLDS:
            found.append(
                f"`{field}.num_chain_data` times `num_chains` is {rows}, expected >= "
                f"{10 * NUM_FOLDS}"
            )
        if (draws + 1) % NUM_BINS:
            found.append(
                f"`{field}.num_calibration_draws` is {draws}, expected a multiple of "
                f"{NUM_BINS}, less 1"
            )
        return found


def data_faults(
    settings: Settings, field: str, dataset: Dataset, protocol: ProtocolSettings
) -> list[str]:
    """Tells what the evaluated test tuples are too few for."""
    num_tuples = protocol.num_tuples or dataset.splits["test"].size
    found = []
    if num_tuples < 10 * NUM_FOLDS:
        found.append(
            f"`{field}.num_pairs` is {settings.num_pairs}, and {num_tuples} test "
            f"tuples are evaluated, expected >= {10 * NUM_FOLDS} of them"
        )
    if settings.num_chain_data > num_tuples:
        found.append(
            f"`{field}.num_chain_data` is {settings.num_chain_data}, expected at most "
            f"the {num_tuples} test tuples that are evaluated"
        )
    return found


TABLES = (
    Table(
        "Unimodal posteriors beside the joint one: E KL(q(z|X) ‖ q_j(z|x_j)), "
        "whose floor is what the other modalities tell of z; and how well a "
        "classifier tells (x_j, z) of the two apart, 0.5 at best. s.e. are "
        "standard errors over tuples.",
        (
            Column("KL, nats", "gap", 2),
            Column("s.e.", "gap_standard_error", 2, low=0.0),
            Column("accuracy", "accuracy", low=0.0, high=1.0),
            Column("s.e. of it", "standard_error", low=0.0, high=1.0),
            Column("detectable", "detectable", low=0.5, high=1.0),
        ),
        rows="unimodal",
        heading="given",
    ),
    Table(
        "Draws given one modality up to all beside chains through the decoders: "
        "accuracy of a classifier, 0.5 at best; below what is detectable it says "
        "nothing, nor does it of p(z|x_S) where R-hat is above 1.05: such chains "
        "have not found it.",
        (
            Column("accuracy", "accuracy", low=0.0, high=1.0),
            Column("s.e.", "standard_error", low=0.0, high=1.0),
            Column("detectable", "detectable", low=0.5, high=1.0),
            Column("chains' max R-hat", "rhat_max", 2, low=0.0),
        ),
        rows="chains",
        heading="given",
    ),
    Table(
        "Simulation-based calibration: ranks of z* and of log p(x_S|z*) among "
        "draws given x_S ~ p(x_S|z*). p of uniformity; share of outermost ranks "
        "over what is expected, above 1 where draws are too narrow.",
        (
            Column("p, z", "z.p_value", low=0.0, high=1.0),
            Column("outermost", "z.outer", 2, low=0.0),
            Column("p, log p", "log_likelihood.p_value", low=0.0, high=1.0),
            Column("outermost", "log_likelihood.outer", 2, low=0.0),
        ),
        rows="calibration",
        heading="given",
    ),
)
"""Single modalities; every subset against chains; and calibration."""


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Returns all four, as docs/results_schema.md describes them: floats or None."""
    inference, report = subject.inference, subject.report
    names = tuple(inference.modalities)
    gap, gap_error = posterior_gap(subject)
    unimodal = {}
    for m in names:
        test = unimodal_test(subject, m, settings.num_pairs)
        unimodal[m] = {
            "gap": gap[m],
            "gap_standard_error": gap_error[m],
            **test._asdict(),
        }
        report(
            f"q(z|{m}): {gap[m]:.2f} nats from the joint posterior, "
            f"two-sample accuracy {test.accuracy:.3f}"
        )
    chains = {}
    if isinstance(inference, JointInference):
        for subset in _chosen(names, settings.num_subsets):
            chains["+".join(subset)] = _against_chains(subject, subset, settings)
    else:
        report("not measured: two-sample tests against chains need a joint encoder")
    return {
        "unimodal": unimodal,
        "chains": chains,
        **_calibration(subject, settings),
    }


def _against_chains(
    subject: Subject, subset: tuple[str, ...], settings: Settings
) -> dict[str, float | None]:
    """``chain_test`` on the first tuples, as the record holds it."""
    held_out, seed, report = subject.held_out, subject.protocol.seed, subject.report
    chains = sampling.ChainSettings(num_transitions=settings.num_transitions)
    views = held_out.views(np.arange(settings.num_chain_data, dtype=np.int32))
    test, diagnosis, acceptance = chain_test(
        DecoderPosterior(subject.inference, chains, is_weighted=False),
        subject.params, jax.random.key(seed), views, subset, settings.num_chains,
        seed=seed, mesh=held_out.mesh,
    )  # fmt: skip
    name = "+".join(subset)
    report(f"two-sample accuracy given {name}, long chains: {test.accuracy:.3f}")
    for text in sampling.warnings(diagnosis):
        report(f"  warning: the long chains themselves: {text}")
    told = diagnostics(diagnosis, ("rhat_max", "ess_min", "share_unconverged"))
    return {**test._asdict(), "acceptance": acceptance, **told}


def _chosen(names: tuple[str, ...], num: int) -> list[tuple[str, ...]]:
    """The first ``num`` subsets (0: all) of each size, all names last."""
    found = []
    for size in range(1, len(names)):
        of_size = coherence.subsets(names, size=size)
        found += of_size[: num or len(of_size)]
    return [*found, names] if len(names) > 1 else found


def _calibration(subject: Subject, settings: Settings) -> dict[str, dict[str, Any]]:
    """Ranks given each modality, some products and all, as the record holds it."""
    inference, params, held_out = subject.inference, subject.params, subject.held_out
    names, report = tuple(inference.modalities), subject.report
    num_draws = settings.num_calibration_draws
    keys = jax.random.split(jax.random.key(subject.protocol.seed), 4)
    start_key, truth_key, rank_key, adapt_key = keys
    batch_size = min(subject.protocol.batch_size, subject.num_tuples)
    some = subject.first_views()
    z, _ = inference.infer(params, start_key, some, names)
    truth = draw_truth(
        inference, params, truth_key, settings.num_calibration_data, shared_latent(z)
    )
    found, about = {}, {}
    chosen = _chosen(names, settings.num_subsets)
    products = [s for s in chosen if 1 < len(s) < len(names)]
    for subset in [*((m,) for m in names), *products, names]:
        step_size = inference.adapt(params, adapt_key, some, subset)
        ranks = subset_ranks(
            inference, params, rank_key, truth.z, subset, num_draws,
            batch_size=batch_size, step_size=step_size, mesh=held_out.mesh,
        )  # fmt: skip
        tests = [uniformity(of, num_draws) for of in ranks]
        found["+".join(subset)] = {
            name: {
                "p_value": test.p_value,
                "outer": test.outer,
                "histogram": {str(k): float(x) for k, x in enumerate(test.histogram)},
            }
            for name, test in zip(("z", "log_likelihood"), tests, strict=True)
        }
        report(f"calibration given {', '.join(subset)}: p {tests[0].p_value:.2g}")
    if truth.chains is not None:
        for text in sampling.warnings(truth.chains.diagnostics):
            report(f"  warning: the chains that drew z*: {text}")
        about["calibration_chains"] = diagnostics(
            truth.chains.diagnostics, ("rhat_max", "ess_min")
        )
    return {"calibration": found, **about}
