"""Does inference match the model? Gap, two-sample tests and calibration in one record.

===============  ===============================================================
gap              E KL(q(z|X) ‖ q_m(z|x_m)), never 0 where others inform of z
two-sample, 1    (x_m, z ~ q(z|X)) against (x_m, z ~ q_m(z|x_m)): the best q_m
                 reaches 0.5, for over x_{−m} the joint posterior averages to it
two-sample, S    draws given x_S, of one modality up to all, against long chains on
                 p(z) Π_{m∈S} p(x_m|z) through the decoders
calibration      ranks of f(z*) among f(z_1) … f(z_L), z_l ~ q_S(z|X_S), where
                 z* ~ p(z) and X ~ p(X|z*): uniform where q_S(z|X_S) = p(z|X_S), for
                 any f of z and X_S (arXiv 1804.06788); f = z_d and log p(X_S|z)
===============  ===============================================================

The last two are of the generative model itself: λ = β = 1, whatever was trained. The
likelihood's noise is part of the X that calibration simulates: encoders that never saw
noisy data are at fault there.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax import sampling
from jnf_jax.data.dataset import Dataset
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.posterior import posterior_gap
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.sampler_quality import diagnostics
from jnf_jax.evaluation.statistics import coherence
from jnf_jax.evaluation.statistics.long_run import LongRun, long_run
from jnf_jax.evaluation.statistics.two_sample import (
    NUM_FOLDS,
    TwoSample,
    two_sample_test,
)
from jnf_jax.evaluation.subject import Subject
from jnf_jax.methods.decoder_posterior import DecoderPosterior
from jnf_jax.methods.joint_inference import JointInference
from jnf_jax.methods.method import Inference, shared_latent, with_shared_latent
from jnf_jax.methods.subset import NUM_DIAGNOSTIC_CHAINS
from jnf_jax.names import join_names
from jnf_jax.options import option
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views

NUM_BINS = 16
"""Bins of a histogram of ranks; L + 1 must be a multiple of it."""

DRAWS_A_CHAIN = 16
"""Draws that each long chain on an unnormalised prior gives, equally far apart."""


NUM_COMPONENTS = 16
"""Principal components of x_m that a classifier sees."""

NUM_MOMENT_DRAWS = 16
"""Draws of q_m(z|x_m) whose mean and sd tell a classifier where z would be."""


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
            Column("KL, nats", "gap", 2, best="low"),
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
        unimodal[m] = {"gap": gap[m], "gap_standard_error": gap_error[m]}
        unimodal[m] |= test._asdict()
        report(
            f"q(z|{m}): {gap[m]:.2f} nats from the joint posterior, "
            f"two-sample accuracy {test.accuracy:.3f}"
        )
    chains = {}
    if isinstance(inference, JointInference):
        for subset in _chosen(names, settings.num_subsets):
            chains[join_names(subset)] = _against_chains(subject, subset, settings)
    else:
        report("not measured: two-sample tests against chains need a joint encoder")
    found = {"unimodal": unimodal, "chains": chains}
    return found | _calibration(subject, settings)


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
    name = join_names(subset)
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
        found[join_names(subset)] = {
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


# --- two-sample tests -----------------------------------------------------------------


def unimodal_test(subject: Subject, modality: str, num_pairs: int) -> TwoSample:
    """(x_m, z ~ q(z|X)) against (x_m, z ~ q_m(z|x_m)), one of each a tuple.

    The classifier sees principal components of x_m; z; log q_m(z|x_m); and (z − μ)/σ
    with the moments of further draws of q_m(z|x_m), which are functions of x_m too.
    ``num_pairs`` tuples are looked at, or all that there are.
    """
    from sklearn.decomposition import PCA  # half a second that only this pays

    inference, params, settings = subject.inference, subject.params, subject.protocol
    num = min(num_pairs, subject.num_tuples)
    number_of_m = inference.modalities.index(modality)
    root = jax.random.fold_in(jax.random.key(settings.seed), number_of_m)

    def look(number: int, views: Views) -> dict[str, jax.Array]:
        keys = jax.random.split(jax.random.fold_in(root, number), 2 + NUM_MOMENT_DRAWS)
        joint, _ = inference.infer(params, keys[0], views, tuple(inference.modalities))
        own, *others = (
            inference.infer(params, key, views, (modality,))[0] for key in keys[1:]
        )
        others = jnp.stack([shared_latent(z) for z in others])
        return {
            "x": views[modality].reshape(len(views[modality]), -1),
            "joint": _features(inference, modality, params, views, joint, others),
            "own": _features(inference, modality, params, views, own, others),
        }

    found = subject.over_tuples(look, num)
    size = min(NUM_COMPONENTS, *found["x"].shape)
    components = PCA(size, svd_solver="randomized", random_state=settings.seed)
    of_data = components.fit_transform(found["x"])
    samples = (
        np.concatenate([of_data, found[name]], axis=1) for name in ("joint", "own")
    )
    return two_sample_test(*samples, seed=settings.seed)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _features(inference, modality, params, views: Views, z: Any, others: jax.Array):
    """z, (z − μ)/σ and log q_m(z|x_m), f32[B, 2 D + 1]."""
    log_q = inference.unimodal_log_probs(params, views, z)[modality]
    z = shared_latent(z)
    standard = (z - others.mean(axis=0)) / others.std(axis=0)
    return jnp.concatenate([z, standard, log_q[:, None]], axis=-1)


def chain_test(
    posterior: DecoderPosterior,
    params: dict[str, Params],
    rng_key: jax.Array,
    views: Views,
    subset: tuple[str, ...],
    num_chains: int,
    *,
    seed: int = 0,
    mesh: jax.sharding.Mesh | None = None,
) -> tuple[TwoSample, sampling.ChainDiagnostics, float]:
    """Draws of q_S(z|X_S) against the ends of chains on p(z|x_S), R of each a datum.

    A chain starts where another draw of q_S ended, so that modes which q_S has no draw
    in are hardly found. The classifier sees z and the chains' log density, less their
    mean over both samples of a datum and over their sd. ``views`` {m: f32[n, ...]} are
    few data, R is ``num_chains``, and ``mesh`` shares the chains.

    Returns:
        The test; R-hat and ESS of chains as long; mean acceptance.
    """
    inference, num = posterior.inference, len(views[subset[0]])
    keys = jax.random.split(rng_key, 6)
    # Datum by datum, then again: what adapts on the first rows adapts on all data.
    times = {m: (num_chains, *[1] * (x.ndim - 1)) for m, x in views.items()}
    many = {m: jnp.tile(x, times[m]) for m, x in views.items()}
    # `tile` leaves all rows on every device: split them again.
    many = parallel.put_batch(many, mesh)
    step_size = inference.adapt(params, keys[0], many, subset)
    first, start = (
        inference.infer(params, key, many, subset, step_size)[0] for key in keys[1:3]
    )
    step_size = posterior.adapt(params, keys[3], many, subset, start)
    end, info = posterior.refine(params, keys[4], many, subset, start, step_size)
    apart = start.reshape(num_chains, num, -1)[:NUM_DIAGNOSTIC_CHAINS]
    diagnosis = posterior.diagnose(params, keys[5], views, subset, apart, step_size)

    def one_batch(number: int, rows: np.ndarray) -> tuple[jax.Array, ...]:
        del number, rows  # all at once: only to fetch them
        return tuple(
            jnp.column_stack([z, posterior.log_joint(params, many, subset, z)])
            for z in (first, end)
        )

    samples = map_batches(one_batch, len(first), len(first))
    by_datum = [rows.reshape(-1, num, rows.shape[-1]) for rows in samples]
    both = np.concatenate(by_datum)
    mean, sd = both.mean(axis=0), both.std(axis=0)
    samples = [((x - mean) / sd).reshape(-1, x.shape[-1]) for x in by_datum]
    test = two_sample_test(*samples, seed=seed)
    return test, diagnosis, float(info.acceptance.mean())


# --- calibration ----------------------------------------------------------------------


class Uniformity(NamedTuple):
    """Are ranks uniform?

    Attributes:
        p_value: Of χ² on the histogram of each quantity, the smallest one times their
            number (Bonferroni), at most 1.
        outer: Share of ranks in the two outermost bins over what is expected; above 1
            the draws are too narrow (or shifted), below 1 too broad.
        histogram: Share in each bin over what is expected, f[``NUM_BINS``]; over all
            quantities.
    """

    p_value: float
    outer: float
    histogram: Float[np.ndarray, " bins"]


def uniformity(ranks: Int[np.ndarray, "data quantities"], num_draws: int) -> Uniformity:
    """Tests ranks i[N, Q] among L draws, 0, …, L, for uniformity.

    Rows are independent, the Q quantities need not be.

    Raises:
        ValueError: L + 1 is no multiple of ``NUM_BINS``, N < 5 ``NUM_BINS`` (χ² would
            be none), or a rank is out of range.

    >>> uniformity(np.arange(320)[:, None] % 32, 31).p_value
    1.0
    """
    if (num_draws + 1) % NUM_BINS:
        raise ValueError(
            f"`num_draws` is {num_draws}, expected a multiple of {NUM_BINS}, less 1"
        )
    if len(ranks) < 5 * NUM_BINS:
        raise ValueError(f"`ranks` has {len(ranks)} rows, expected >= {5 * NUM_BINS}")
    if ranks.min() < 0 or ranks.max() > num_draws:
        raise ValueError(
            f"`ranks` has {ranks.min()} to {ranks.max()}, expected 0 to {num_draws}"
        )
    bins = ranks * NUM_BINS // (num_draws + 1)
    counts = (bins == np.arange(NUM_BINS)[:, None, None]).sum(axis=1)  # [bins, Q]
    from scipy.stats import chisquare  # half a second that only this pays

    p_values = chisquare(counts, axis=0).pvalue
    histogram = counts.mean(axis=1) / (len(ranks) / NUM_BINS)
    return Uniformity(
        p_value=float(min(1.0, p_values.min() * len(p_values))),
        outer=float(histogram[[0, -1]].mean()),
        histogram=histogram,
    )


class Truth(NamedTuple):
    """z* that data are simulated from, and the chains that drew them, if any did."""

    z: Any
    chains: LongRun | None


def draw_truth(
    inference: Inference,
    params: dict[str, Params],
    rng_key: jax.Array,
    num: int,
    elsewhere: Float[Array, "data latent"],
) -> Truth:
    """N draws z* ~ p(z) of the own prior; from long MALA chains where unnormalised.

    Half of the chains start ``elsewhere``, the others where the prior's own (short-run)
    draws end.
    """
    name = inference.prior_names[0]
    z = inference.sample_prior(params, rng_key, num, name)
    if inference.prior_of(params, name).is_normalised:
        return Truth(z, None)
    num_chains = max(2, -(-num // DRAWS_A_CHAIN))
    half = min(num_chains // 2, len(elsewhere))
    start = jnp.concatenate([elsewhere[:half], shared_latent(z)[: num_chains - half]])
    chains = _long_run(inference, params, jax.random.fold_in(rng_key, 1), start)
    num_kept = len(chains.draws)
    chosen = np.arange(1, DRAWS_A_CHAIN + 1) * num_kept // DRAWS_A_CHAIN - 1
    drawn = chains.draws[chosen].reshape(-1, start.shape[-1])[:num]
    return Truth(with_shared_latent(z, drawn), chains)


def subset_ranks(
    inference: Inference,
    params: dict[str, Params],
    rng_key: jax.Array,
    truth: Any,
    subset: tuple[str, ...],
    num_draws: int,
    *,
    batch_size: int,
    step_size: Float[Array, ""] | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> tuple[Int[np.ndarray, "data latent"], Int[np.ndarray, "data 1"]]:
    """Ranks of z* and log p(X_S|z*) among L draws of q_S(z|X_S): i[N, D], i[N, 1].

    ``truth`` is z*, leading axis N. One key gives the same X whatever S is; the chains
    of S, if any, take the ``step_size`` that ``inference.adapt`` gave.

    Raises:
        ValueError: A draw or its log-likelihood is not finite.
    """

    def one_batch(number: int, rows: np.ndarray) -> dict[str, jax.Array]:
        data_key, draw_key = jax.random.split(jax.random.fold_in(rng_key, number))
        z = jax.tree.map(lambda leaf: leaf[rows], truth)
        views = _simulate(inference, mesh, params, data_key, z)
        expected = _quantities(inference, subset, params, views, z)
        ranks, is_finite = 0, True
        for key in jax.random.split(draw_key, num_draws):
            z, _ = inference.infer(params, key, views, subset, step_size)
            found = _quantities(inference, subset, params, views, z)
            ranks += found < expected
            is_finite &= jnp.isfinite(found).all(axis=-1)
        return {"ranks": ranks, "is_finite": is_finite}

    num = len(shared_latent(truth))
    found = map_batches(one_batch, num, batch_size)
    if not found["is_finite"].all():
        raise ValueError(
            f"q(z|{', '.join(subset)}): got draws that are not finite for "
            f"{(~found['is_finite']).sum()} of {num} data, expected none"
        )
    return found["ranks"][:, :-1], found["ranks"][:, -1:]


@functools.partial(jax.jit, static_argnums=0)
def _long_run(inference, params, rng_key: jax.Array, start: jax.Array) -> LongRun:
    prior = inference.prior_of(params, inference.prior_names[0])
    return long_run(rng_key, prior.log_density, start)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _simulate(inference, mesh, params, rng_key: jax.Array, z: Any) -> Views:
    """X ~ p(X|z)."""
    decoded = inference.decode(params, z)
    keys = jax.random.split(rng_key, len(decoded))
    views = {
        m: decoded[m].sample(seed=key)
        for m, key in zip(sorted(decoded), keys, strict=True)
    }
    return parallel.constrain_batch(views, mesh)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _quantities(inference, subset, params, views: Views, z: Any) -> jax.Array:
    """z and log p(X_S|z), f32[B, D + 1]."""
    decoded = inference.decode(params, z)
    log_likelihood = sum(decoded[m].log_prob(views[m]) for m in subset)
    return jnp.concatenate([shared_latent(z), log_likelihood[:, None]], axis=-1)
