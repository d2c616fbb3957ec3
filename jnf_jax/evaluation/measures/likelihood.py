"""log p(X) and log p(x_t|x_S) of held-out tuples, by importance sampling.

λ = β = 1, whatever was trained; nats, summed over pixels and tokens. ::

    joint          log (1/K) Σ_k p(X|z_k) p(z_k) / q(z_k|X),    z_k ~ q(z|X)
    conditional a  log (1/K) Σ_k p(x_t|z_k),                    z_k ~ q(z|x_S)
    conditional b  log Σ_k w_k p(x_t|z_k) / Σ_k w_k,            z_k ~ r(z|x_S),
                   w_k = Π_{j∈S} p(x_j|z_k) p(z_k) / r(z_k|x_S),
                   r(z|x_S) = (1/|S|) Σ_{j∈S} q(z|x_j)

The joint bound is that of arXiv 1509.00519: it never asks a unimodal posterior, hence
measures stage one alone. (a) estimates log ∫ q(z|x_S) p(x_t|z) dz, what generation from
S uses; (b) log p(x_t|x_S) of the generative model, as the quotient of two bounds on the
same draws, those of the mixture r, for products of flows have no known density. Joint
and (a) are too low on average, the more so the fewer the draws, so each has one K for
all S; (b) may err to either side, by a hundred nats where few of its weights count.
"""

import dataclasses
import functools
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.sampler_quality import finite_or_none
from jnf_jax.evaluation.statistics.importance import LogMean, log_means
from jnf_jax.evaluation.subject import Subject
from jnf_jax.names import join_names
from jnf_jax.options import option
from jnf_jax.sampling import LogNormaliser
from jnf_jax.types import COVARIATES, Params, Views

LEAST_ESS = 10
"""Weights that a bound must rest on: Σ w has an error of about a third with as many."""

NUM_ANNEALED, NUM_TEMPERATURES = 1_000, 1_000
"""Chains, and steps of each, that estimate log Z of an energy-based prior."""

LEAST_ANNEALED_ESS = 100
"""Effective annealed chains below which their own error of log Z is not trusted."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How many draws, on how many tuples."""

    num_importance_samples: int = option(
        1_000, "K of the joint bound and of (b).", at_least=1
    )
    num_conditional_samples: int = option(
        100,
        "K of (a), whatever is given: where that is two modalities or more a draw "
        "costs a chain.",
        at_least=1,
    )
    num_tuples: int = option(
        1_000,
        "Test tuples of the joint bound, from the first; 0: the protocol's.",
        at_least=0,
    )
    num_conditional_tuples: int = option(
        100, "Test tuples of the conditionals; 0: the protocol's.", at_least=0
    )
    num_decoded: int = option(
        5_000, "Latents that are decoded at a time; bounds the memory.", at_least=1
    )


TABLES = (
    Table(
        "log p(X) of test tuples at λ = β = 1, by importance sampling with the "
        "joint posterior (a lower bound on average): of stage one, hence the same "
        "for all that stands on it. At an effective sample size near 1 a single "
        "weight is all there is of the sum, and the bound a loose one. The "
        "standard error is over tuples; log Z, where the prior is an energy, is "
        "subtracted already.",
        (
            Column("K, (b)'s too", "settings.num_importance_samples", 0, low=1.0),
            Column("K of (a)", "settings.num_conditional_samples", 0, low=1.0),
            Column("tuples", "settings.num_tuples", 0, low=1.0),
            Column("log p(X), nats", "joint.log_prob", 1, best="high"),
            Column("standard error", "joint.standard_error", 1, low=0.0),
            Column("ESS, median", "joint.ess_median", 1, low=0.0),
            Column("log Z", "joint.log_normaliser.value", 2),
            Column("its error", "joint.log_normaliser.standard_error", 2, low=0.0),
        ),
    ),
    Table(
        "log p(x_t|x_S), nats, mean over the subsets of a size: (a) of draws from "
        "q(z|x_S), (b) of the generative model; each at its K above. s.e. are "
        "standard errors over tuples; ESS, medians of as many as there are draws. "
        "(b) divides by p(x_S): at an ESS of that below ten, do not believe it.",
        (
            Column("(a)", "a", 1, best="high"),
            Column("s.e. of (a)", "standard_error_a", 1, low=0.0),
            Column("ESS of (a)", "ess_a", 1, low=0.0),
            Column("(b)", "b", 1, best="high"),
            Column("s.e. of (b)", "standard_error_b", 1, low=0.0),
            Column("ESS of (b)", "ess_b", 1, low=0.0),
            Column("ESS of p(x_S) in (b)", "ess_given", 1, low=0.0),
        ),
        rows="conditional",
        heading="given",
    ),
)
"""The joint bound, and the conditionals by number of modalities given."""


def measure(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Returns all three, ready for JSON; see docs/results_schema.md.

    Raises:
        ValueError: If the prior is not normalised and its log Z cannot be estimated.
    """
    inference, report = subject.inference, subject.report
    log_z = _log_normaliser(subject)
    prior = inference.prior_of(subject.params, inference.prior_names[0])
    if not prior.is_normalised and log_z is None:
        raise ValueError(
            f"log Z of {inference.prior_names[0]!r} is unknown, and without it the "
            "bound is of no likelihood; expected a normalised prior or an energy"
        )
    joint_key, key = jax.random.split(jax.random.key(subject.protocol.seed))
    num = min(settings.num_tuples or subject.num_tuples, subject.num_tuples)
    joint = _joint(subject, num, settings, joint_key, log_z)
    report(f"log p(X): {joint['log_prob']} nats, median ESS {joint['ess_median']}")
    told = _few_weights("log p(X)", joint["ess_median"])
    conditional = {}
    num = min(settings.num_conditional_tuples or subject.num_tuples, subject.num_tuples)
    for i, subset in enumerate(subject.subsets):
        of = _conditional(subject, subset, num, settings, jax.random.fold_in(key, i))
        conditional[subset] = of
        means = {t: round(float(found.value.mean()), 1) for t, found in of.a.items()}
        report(f"log p(x_t|{', '.join(subset)}), estimator (a): {means} nats")
        told += _few_weights(f"(b) given {', '.join(subset)}", _median_ess([of.given]))
    for text in told:
        report(f"warning: {text}")
    return {
        "joint": joint,
        "conditional": {
            str(k): _told([c for s, c in conditional.items() if len(s) == k])
            for k in range(1, len(inference.modalities))
        },
        "num_conditional_tuples": num,
        "conditional_by_subset": {
            join_names(s): _told([c]) for s, c in conditional.items()
        },
        "warnings": told,
    }


def _log_normaliser(subject: Subject) -> LogNormaliser | None:
    """log Z of the model's own prior, where that is an energy's."""
    inference, name = subject.inference, subject.inference.prior_names[0]

    @jax.jit
    def estimate(params: dict[str, Params], rng_key: jax.Array) -> LogNormaliser | None:
        return inference.prior_of(params, name).log_normaliser(
            rng_key, num_chains=NUM_ANNEALED, num_temperatures=NUM_TEMPERATURES
        )

    found = estimate(subject.params, jax.random.key(subject.protocol.seed))
    if found is None:
        return None
    subject.report(
        f"log Z of {name}: {found.value:.2f} +- {found.standard_error:.2f} nats, "
        f"ESS {found.ess:.0f} of {NUM_ANNEALED}"
    )
    if not found.ess >= LEAST_ANNEALED_ESS:  # nor NaN
        warnings.warn(
            f"log Z of {name} rests on {found.ess:.0f} of {NUM_ANNEALED} annealed "
            "chains: it is likely to be too small, likelihoods too large",
            stacklevel=2,
        )
    return found


def _at_once(subject: Subject, num_tuples: int, settings: Settings) -> int:
    """Latents of a datum that are decoded at a time."""
    return max(settings.num_decoded // min(subject.protocol.batch_size, num_tuples), 1)


def _joint(
    subject: Subject, num_tuples: int, settings: Settings, rng_key: jax.Array,
    log_z: LogNormaliser | None,
) -> dict[str, Any]:  # fmt: skip
    """log p(X), mean over tuples and its standard error; and log Z, if subtracted."""
    inference, num = subject.inference, settings.num_importance_samples
    at_once = min(_at_once(subject, num_tuples, settings), num)
    everything = tuple(inference.modalities)

    def look(number: int, views: Views) -> LogMean:
        def weights(key: jax.Array) -> dict[str, jax.Array]:
            own = (inference, subject.params, views, everything, at_once, key)
            return {"joint": _weights(*own)["given"]}

        key = jax.random.fold_in(rng_key, number)
        return log_means(weights, key, num, at_once)["joint"]

    found = subject.over_tuples(look, num_tuples)
    mean, about = found.value.mean(dtype=np.float64), {}
    if log_z is not None:
        about["log_normaliser"] = {k: float(v) for k, v in log_z._asdict().items()}
        mean -= about["log_normaliser"]["value"]
    return {
        "log_prob": finite_or_none(mean),
        "standard_error": _error(found.value),
        **about,
        "ess_median": _median_ess([found]),
        "ess_min": finite_or_none(float(found.ess.min())),
        "num_tuples": num_tuples,
    }


class Conditional(NamedTuple):
    """(a) and (b) of each tuple by target, and log (1/K) Σ w, which (b) is over."""

    a: dict[str, LogMean]
    b: dict[str, LogMean]
    given: LogMean


def _conditional(
    subject: Subject, subset: tuple[str, ...], num_tuples: int, settings: Settings,
    rng_key: jax.Array,
) -> Conditional:  # fmt: skip
    inference, params = subject.inference, subject.params
    num_a, num_b = settings.num_conditional_samples, settings.num_importance_samples
    most = _at_once(subject, num_tuples, settings)
    most_a, most_b = min(most, num_a), min(most, num_b)
    adapt_key, *keys = jax.random.split(rng_key, 3)
    first = subject.first_views(num_tuples)
    step_size = inference.adapt(params, adapt_key, first, subset)

    def look(number: int, views: Views) -> dict[str, LogMean]:
        def of_draws(key: jax.Array) -> dict[str, jax.Array]:
            read = [m for m in (*subset, COVARIATES) if m in views]
            given = {m: jnp.repeat(views[m], most_a, axis=0) for m in read}
            z, _ = inference.infer(params, key, given, subset, step_size)
            return _likelihoods(inference, params, views, subset, z)

        def of_weights(key: jax.Array) -> dict[str, jax.Array]:
            return _weights(inference, params, views, subset, most_b, key)

        a, b = (jax.random.fold_in(key, number) for key in keys)
        found = log_means(of_draws, a, num_a, most_a)
        return found | log_means(of_weights, b, num_b, most_b)

    found = subject.over_tuples(look, num_tuples)
    targets = [m for m in inference.modalities if m not in subset]
    given, b = found["given"], {t: found[f"b {t}"] for t in targets}
    return Conditional(
        a={t: found[f"a {t}"] for t in targets},
        b={t: of._replace(value=of.value - given.value) for t, of in b.items()},
        given=given,
    )


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _weights(
    inference, params, views: Views, subset: tuple[str, ...], num: int, rng_key
):
    """The weights of (b): "b t" log w_k p(x_t|z_k), and "given" log w_k, f32[k, B]."""
    z, log_ratio = inference.propose(params, rng_key, views, subset, num)
    # Draws of a datum lie side by side: a batch that is split over devices stays so.
    z = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), z)
    log_p = _log_likelihoods(inference, params, views, z)
    log_w = log_ratio + sum(log_p.pop(m) for m in subset)
    return {f"b {t}": log_w + x for t, x in log_p.items()} | {"given": log_w}


@functools.partial(jax.jit, static_argnums=(0, 3))
def _likelihoods(inference, params, views: Views, subset: tuple[str, ...], z: Any):
    """{"a t": log p(x_t|z)} of targets t, f32[k, B], at z with leaves [B k, ...]."""
    log_p = _log_likelihoods(inference, params, views, z)
    return {f"a {t}": log_p[t] for t in sorted(log_p) if t not in subset}


def _log_likelihoods(inference, params, views: Views, z: Any) -> dict[str, jax.Array]:
    """{m: log p(x_m|z), f32[k, B]} at z with leaves [B k, ...]."""
    decoded = inference.decode(params, z)
    log_p = {}
    for m in inference.modalities:
        size = len(views[m])
        num = len(jax.tree.leaves(z)[0]) // size
        x = jnp.repeat(views[m], num, axis=0)
        log_p[m] = decoded[m].log_prob(x).reshape(size, num).T
    return log_p


def _error(values: np.ndarray) -> float | None:
    """Standard error of their mean; one alone has none."""
    spread = values.std(ddof=1, dtype=np.float64) if len(values) > 1 else np.nan
    return finite_or_none(spread / np.sqrt(len(values)))


def _told(found: list[Conditional]) -> dict[str, Any]:
    """Averages over subsets of one size, for each target t over those without t.

    Tuples are averaged over subsets before their spread is taken: it is the same tuples
    that all subsets have.
    """
    told: dict[str, Any] = {}
    targets = sorted({t for of in found for t in of.a})
    for key in ("a", "b"):
        by_target = [getattr(of, key) for of in found]
        known = {t: [of[t] for of in by_target if t in of] for t in targets}
        values = {
            t: np.mean([one.value for one in of], axis=0, dtype=np.float64)
            for t, of in known.items()
        }
        told[key] = {t: finite_or_none(x.mean()) for t, x in values.items()}
        told[f"standard_error_{key}"] = {t: _error(x) for t, x in values.items()}
        told[f"ess_{key}"] = {t: _median_ess(of) for t, of in known.items()}
    return told | {"ess_given": _median_ess([of.given for of in found])}


def _few_weights(what: str, ess: float | None) -> list[str]:
    """Warns of a sum that rests on few of its weights, or is not finite."""
    if ess is not None and ess >= LEAST_ESS:
        return []
    rests = "is not finite" if ess is None else f"rests on {ess:.3g} weights (median)"
    return [f"{what} {rests}, expected >= {LEAST_ESS}: it is not to be believed"]


def _median_ess(found: list[LogMean]) -> float | None:
    """Over tuples; mean over subsets."""
    return finite_or_none(float(np.mean([np.median(one.ess) for one in found])))
