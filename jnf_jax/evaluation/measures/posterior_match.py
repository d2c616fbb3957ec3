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
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jnf_jax import sampling
from jnf_jax.evaluation.held_out import HeldOut
from jnf_jax.evaluation.measures.calibration import (
    NUM_BINS,
    draw_truth,
    subset_ranks,
    uniformity,
)
from jnf_jax.evaluation.measures.two_sample_posterior import chain_test, unimodal_test
from jnf_jax.evaluation.posterior import posterior_gap
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.sampler_quality import finite_or_none
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.statistics.two_sample import NUM_FOLDS
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.method import Inference, shared_latent
from jnf_jax.methods.subset import NUM_DIAGNOSTIC_CHAINS, SubsetInference
from jnf_jax.types import Params


@dataclasses.dataclass(frozen=True)
class MatchSettings:
    """How much of it is measured; the gap takes the tuples of the protocol.

    Attributes:
        num_pairs: Tuples of the two-sample tests of single modalities, from the first.
        num_chain_data: Tuples that long chains run on, from the first.
        num_chains: Chains a tuple, each of them one draw; as many amortised draws.
        num_transitions: Of each chain, from a draw of the subset posterior.
        num_subsets: Of each size, the first ones; 0: all.
        num_calibration_data: Simulated tuples.
        num_calibration_draws: L, among which z* is ranked.
    """

    num_pairs: int = 2_000
    num_chain_data: int = 16
    num_chains: int = 32
    num_transitions: int = 200
    num_subsets: int = 1
    num_calibration_data: int = 1_000
    num_calibration_draws: int = 31

    def faults(self, field: str) -> list[str]:
        """What is wrong, one line a fault."""
        least = {
            "num_pairs": 10 * NUM_FOLDS,
            "num_chain_data": 1,
            "num_chains": NUM_DIAGNOSTIC_CHAINS,
            "num_transitions": 4,
            "num_subsets": 0,
            "num_calibration_data": 5 * NUM_BINS,
        }
        found = [
            f"`{field}.{name}` is {getattr(self, name)}, expected >= {bound}"
            for name, bound in least.items()
            if getattr(self, name) < bound
        ]
        rows, draws = self.num_chain_data * self.num_chains, self.num_calibration_draws
        if rows < 10 * NUM_FOLDS:
            found.append(
                f"`{field}.num_chain_data` times `num_chains` is {rows}, expected >= "
                f"{10 * NUM_FOLDS}"
            )
        if draws < 1 or (draws + 1) % NUM_BINS:
            found.append(
                f"`{field}.num_calibration_draws` is {draws}, expected a multiple of "
                f"{NUM_BINS}, less 1"
            )
        return found

    def data_faults(self, field: str, num_tuples: int) -> list[str]:
        """What ``num_tuples`` evaluated test tuples are too few for."""
        found = []
        if num_tuples < 10 * NUM_FOLDS:
            found.append(
                f"`{field}.num_pairs` is {self.num_pairs}, and {num_tuples} test "
                f"tuples are evaluated, expected >= {10 * NUM_FOLDS} of them"
            )
        if self.num_chain_data > num_tuples:
            found.append(
                f"`{field}.num_chain_data` is {self.num_chain_data}, expected at most "
                f"the {num_tuples} test tuples that are evaluated"
            )
        return found


def evaluate_match(
    inference: Inference,
    params: dict[str, Params],
    held_out: HeldOut,
    settings: ProtocolSettings,
    match: MatchSettings,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All four.

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        held_out: Tuples; labels are not read.
        settings: As the protocol's.
        match: Numbers of data, draws, transitions.
        report: Called with a line for each part, and with what to be warned of.

    Returns:
        As docs/results_schema.md describes it; numbers are floats or None.
    """
    names = tuple(inference.modalities)
    gap, gap_error = posterior_gap(inference, params, held_out, settings)
    unimodal = {}
    for m in names:
        test = unimodal_test(inference, params, held_out, m, settings, match.num_pairs)
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
    if isinstance(inference, SubsetInference):
        for subset in _chosen(names, match.num_subsets):
            chains["+".join(subset)] = _against_chains(
                inference, params, held_out, subset, settings, match, report
            )
    else:
        report("not measured: two-sample tests against chains need a joint encoder")
    return {
        "unimodal": unimodal,
        "chains": chains,
        **_calibration(inference, params, held_out, settings, match, report),
    }


def _against_chains(
    inference, params, held_out, subset, settings, match, report
) -> dict[str, float | None]:
    """``chain_test`` on the first tuples, as the record holds it."""
    chains = sampling.ChainSettings(num_transitions=match.num_transitions)
    views = held_out.views(np.arange(match.num_chain_data, dtype=np.int32))
    test, diagnosis, acceptance = chain_test(
        DecoderPosterior(inference, chains, is_weighted=False), params,
        jax.random.key(settings.seed), views, subset, match.num_chains,
        seed=settings.seed, mesh=held_out.mesh,
    )  # fmt: skip
    name = "+".join(subset)
    report(f"two-sample accuracy given {name}, long chains: {test.accuracy:.3f}")
    for text in sampling.warnings(diagnosis):
        report(f"  warning: the long chains themselves: {text}")
    return {
        **test._asdict(),
        "acceptance": acceptance,
        "rhat_max": finite_or_none(diagnosis.rhat_max),
        "ess_min": finite_or_none(diagnosis.ess_min),
        "share_unconverged": finite_or_none(diagnosis.share_unconverged),
    }


def _chosen(names: tuple[str, ...], num: int) -> list[tuple[str, ...]]:
    """The first ``num`` subsets (0: all) of each size, all names last."""
    found = []
    for size in range(1, len(names)):
        of_size = coherence.subsets(names, size=size)
        found += of_size[: num or len(of_size)]
    return [*found, names] if len(names) > 1 else found


def _calibration(
    inference, params, held_out, settings, match, report
) -> dict[str, dict[str, Any]]:
    """Ranks given each modality, some products and all, as the record holds it."""
    names = tuple(inference.modalities)
    keys = jax.random.split(jax.random.key(settings.seed), 4)
    start_key, truth_key, rank_key, adapt_key = keys
    batch_size = min(settings.batch_size, settings.num_tuples or held_out.size)
    some = held_out.views(np.arange(batch_size, dtype=np.int32))
    z, _ = inference.infer(params, start_key, some, names)
    truth = draw_truth(
        inference, params, truth_key, match.num_calibration_data, shared_latent(z)
    )
    found, about = {}, {}
    products = [s for s in _chosen(names, match.num_subsets) if 1 < len(s) < len(names)]
    for subset in [*((m,) for m in names), *products, names]:
        step_size = inference.adapt(params, adapt_key, some, subset)
        ranks = subset_ranks(
            inference, params, rank_key, truth.z, subset, match.num_calibration_draws,
            batch_size=batch_size, step_size=step_size, mesh=held_out.mesh,
        )  # fmt: skip
        tests = [uniformity(of, match.num_calibration_draws) for of in ranks]
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
        warned = sampling.warnings(truth.chains.diagnostics)
        for text in warned:
            report(f"  warning: the chains that drew z*: {text}")
        about["calibration_chains"] = {
            "rhat_max": finite_or_none(truth.chains.diagnostics.rhat_max),
            "ess_min": finite_or_none(truth.chains.diagnostics.ess_min),
        }
    return {"calibration": found, **about}
