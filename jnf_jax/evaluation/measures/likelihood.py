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
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.evaluation.held_out import HeldOut
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.sampler_quality import finite_or_none
from jnf_jax.evaluation.statistics.coherence import subsets
from jnf_jax.evaluation.statistics.importance import LogMean, log_means
from jnf_jax.methods.method import ImportanceInference
from jnf_jax.runtime.batching import map_batches
from jnf_jax.sampling import LogNormaliser
from jnf_jax.types import Params, Views

LEAST_ESS = 10
"""Weights that a bound must rest on: Σ w has an error of about a third with as many."""


@dataclasses.dataclass(frozen=True)
class LikelihoodSettings:
    """How many draws, on how many tuples.

    Attributes:
        num_importance_samples: K of the joint bound and of (b).
        num_conditional_samples: K of (a), whatever is given: where that is two
            modalities or more a draw costs a chain.
        num_tuples: Test tuples of the joint bound, from the first; 0: the protocol's.
        num_conditional_tuples: Those of the conditionals; 0: the protocol's.
        num_decoded: Latents that are decoded at a time; bounds the memory.
    """

    num_importance_samples: int = 1_000
    num_conditional_samples: int = 100
    num_tuples: int = 1_000
    num_conditional_tuples: int = 100
    num_decoded: int = 5_000

    def faults(self, field: str) -> list[str]:
        """What is wrong, one line a fault."""
        least = {
            "num_importance_samples": 1,
            "num_conditional_samples": 1,
            "num_tuples": 0,
            "num_conditional_tuples": 0,
            "num_decoded": 1,
        }
        return [
            f"`{field}.{name}` is {getattr(self, name)}, expected >= {bound}"
            for name, bound in least.items()
            if getattr(self, name) < bound
        ]


def evaluate_likelihood(
    inference: ImportanceInference,
    params: dict[str, Params],
    held_out: HeldOut,
    protocol: ProtocolSettings,
    settings: LikelihoodSettings,
    *,
    log_normaliser: LogNormaliser | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All three, ready for JSON; see docs/results_schema.md.

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        held_out: Tuples; labels are not read.
        protocol: ``num_tuples``, ``batch_size`` and ``seed``.
        settings: Of this measure.
        log_normaliser: Of the model's own prior, needed where that is not normalised.
        report: Called with a line for each subset that is done.

    Raises:
        ValueError: If the prior is not normalised and no log Z is given.
    """
    prior = inference.prior_of(params, inference.prior_names[0])
    if not prior.is_normalised and log_normaliser is None:
        raise ValueError(
            f"`log_normaliser` is None, expected log Z of {inference.prior_names[0]!r}:"
            " without it the bound is of no likelihood"
        )
    joint_key, key = jax.random.split(jax.random.key(protocol.seed))
    size = protocol.num_tuples or held_out.size
    num = min(settings.num_tuples or size, size)
    found = _joint(inference, params, held_out, num, protocol, settings, joint_key)
    joint = _mean_and_error(found.value, log_normaliser)
    joint["ess_median"] = _median_ess([found])
    joint["ess_min"] = finite_or_none(float(found.ess.min()))
    joint["num_tuples"] = num
    report(f"log p(X): {joint['log_prob']} nats, median ESS {joint['ess_median']}")
    warnings = _few_weights("log p(X)", joint["ess_median"])
    conditional = {}
    num = min(settings.num_conditional_tuples or size, size)
    for i, subset in enumerate(subsets(inference.modalities)):
        conditional[subset] = _conditional(
            inference, params, held_out, subset, num, protocol, settings,
            jax.random.fold_in(key, i),
        )  # fmt: skip
        means = {
            t: round(float(of.value.mean()), 1)
            for t, of in conditional[subset].a.items()
        }
        report(f"log p(x_t|{', '.join(subset)}), estimator (a): {means} nats")
        ess = _median_ess([conditional[subset].given])
        warnings += _few_weights(f"(b) given {', '.join(subset)}", ess)
    for warning in warnings:
        report(f"warning: {warning}")
    sizes = sorted({len(subset) for subset in conditional})
    return {
        "joint": joint,
        "conditional": {
            str(k): _told([c for s, c in conditional.items() if len(s) == k])
            for k in sizes
        },
        "num_conditional_tuples": num,
        "conditional_by_subset": {
            "+".join(s): _told([c]) for s, c in conditional.items()
        },
        "warnings": warnings,
    }


def _joint(
    inference, params, held_out, num_tuples, protocol, settings, rng_key
) -> LogMean:
    batch_size = min(protocol.batch_size, num_tuples)
    at_once = max(settings.num_decoded // batch_size, 1)
    at_once = min(at_once, settings.num_importance_samples)

    def one_batch(number: int, indices: np.ndarray) -> LogMean:
        views = held_out.views(indices)
        found = log_means(
            lambda key: _joint_weights(inference, params, views, at_once, key),
            jax.random.fold_in(rng_key, number),
            settings.num_importance_samples,
            at_once,
        )
        return found["joint"]

    return map_batches(one_batch, num_tuples, batch_size)


class Conditional(NamedTuple):
    """Of each tuple: (a) and (b) by target, and log (1/K) Σ w, which (b) is over."""

    a: dict[str, LogMean]
    b: dict[str, LogMean]
    given: LogMean


def _conditional(
    inference, params, held_out, subset, num_tuples, protocol, settings, rng_key
) -> Conditional:
    """(a) and (b) of each tuple."""
    batch_size = min(protocol.batch_size, num_tuples)
    most = max(settings.num_decoded // batch_size, 1)
    num_a, num_b = settings.num_conditional_samples, settings.num_importance_samples
    adapt_key, *keys = jax.random.split(rng_key, 3)
    first = held_out.views(np.arange(batch_size, dtype=np.int32))
    step_size = inference.adapt(params, adapt_key, first, subset)

    def one_batch(number: int, indices: np.ndarray) -> dict[str, LogMean]:
        views = held_out.views(indices)
        own_keys = [jax.random.fold_in(key, number) for key in keys]

        def of_draws(key: jax.Array) -> dict[str, jax.Array]:
            given = {m: _repeat(views[m], min(most, num_a)) for m in subset}
            z, _ = inference.infer(params, key, given, subset, step_size)
            return _likelihoods(inference, params, views, subset, z)

        def of_weights(key: jax.Array) -> dict[str, jax.Array]:
            num = min(most, num_b)
            return _weights(inference, params, views, subset, num, key)

        found = log_means(of_draws, own_keys[0], num_a, min(most, num_a))
        return found | log_means(of_weights, own_keys[1], num_b, min(most, num_b))

    found = map_batches(one_batch, num_tuples, batch_size)
    targets = [m for m in inference.modalities if m not in subset]
    given, b = found["given"], {t: found[f"b {t}"] for t in targets}
    return Conditional(
        a={t: found[f"a {t}"] for t in targets},
        b={t: of._replace(value=of.value - given.value) for t, of in b.items()},
        given=given,
    )


@functools.partial(jax.jit, static_argnums=(0, 3))
def _joint_weights(inference, params, views: Views, num: int, rng_key: jax.Array):
    """{"joint": log p(X|z) p(z) / q(z|X)}, f32[k, B]."""
    everything = tuple(inference.modalities)
    z, log_ratio = inference.propose(params, rng_key, views, everything, num)
    log_p = _log_likelihoods(inference, params, views, _flat(z))
    return {"joint": log_ratio + sum(log_p.values())}


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _weights(
    inference, params, views: Views, subset: tuple[str, ...], num: int, rng_key
):
    """Of (b): "b t" log w_k p(x_t|z_k), and "given" log w_k."""
    z, log_ratio = inference.propose(params, rng_key, views, subset, num)
    log_p = _log_likelihoods(inference, params, views, _flat(z))
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
        log_p[m] = decoded[m].log_prob(_repeat(views[m], num)).reshape(size, num).T
    return log_p


# Draws of a datum lie side by side: a batch that is split over devices stays so.


def _repeat(x: Float[Array, "batch ..."], num: int) -> Float[Array, "rows ..."]:
    return jnp.repeat(x, num, axis=0)


def _flat(z: Any) -> Any:
    """Leaves [k, B, ...] -> [B k, ...]."""
    return jax.tree.map(
        lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(-1, *leaf.shape[2:]), z
    )


def _error(values: np.ndarray) -> float | None:
    """Standard error of their mean; one alone has none."""
    spread = values.std(ddof=1, dtype=np.float64) if len(values) > 1 else np.nan
    return finite_or_none(spread / np.sqrt(len(values)))


def _mean_and_error(
    values: np.ndarray, log_normaliser: LogNormaliser | None
) -> dict[str, Any]:
    """log p(X), mean over tuples and its standard error; and log Z, if subtracted."""
    mean = values.mean(dtype=np.float64)
    joint = {"standard_error": _error(values)}
    if log_normaliser is None:
        return {"log_prob": finite_or_none(mean)} | joint
    log_z = {k: float(v) for k, v in log_normaliser._asdict().items()}
    return {
        "log_prob": finite_or_none(mean - log_z["value"]),
        **joint,
        "log_normaliser": log_z,
    }


def _told(found: list[Conditional]) -> dict[str, Any]:
    """What the record holds of some subsets of one size: of those without t, for each.

    Tuples are averaged over subsets before their spread is taken: it is the same tuples
    that all subsets have.
    """
    told: dict[str, Any] = {}
    for key in ("a", "b"):
        by_target = [getattr(of, key) for of in found]
        known = {t: [of[t] for of in by_target if t in of] for t in _targets(found)}
        values = {
            t: np.mean([one.value for one in of], axis=0, dtype=np.float64)
            for t, of in known.items()
        }
        told[key] = {t: finite_or_none(x.mean()) for t, x in values.items()}
        told[f"standard_error_{key}"] = {t: _error(x) for t, x in values.items()}
        told[f"ess_{key}"] = {t: _median_ess(of) for t, of in known.items()}
    return told | {"ess_given": _median_ess([of.given for of in found])}


def _targets(found: list[Conditional]) -> list[str]:
    return sorted({t for of in found for t in of.a})


def _few_weights(what: str, ess: float | None) -> list[str]:
    """What to tell of a sum that rests on few of its weights, or is not finite."""
    if ess is not None and ess >= LEAST_ESS:
        return []
    rests = "is not finite" if ess is None else f"rests on {ess:.3g} weights (median)"
    return [f"{what} {rests}, expected >= {LEAST_ESS}: it is not to be believed"]


def _median_ess(found: list[LogMean]) -> float | None:
    """Over tuples; mean over subsets."""
    return finite_or_none(float(np.mean([np.median(one.ess) for one in found])))
