"""Inference on rows that the model has never seen: arrays in, arrays out.

Draw k of row i depends on (seed, k, i), on that row and on the parameters, on nothing
else: every row has a key of its own and is inferred under `vmap` as a batch of one. How
many rows there are changes neither their draws nor, once all sizes of ``BATCH_SIZES``
were met, what is compiled: rows are padded to them. (Programs of different sizes may
round differently: draws agree to float32's accuracy, not to the last bit.)

Where chains run, their step size would be the one thing that rows share. It is adapted
to training tuples that the run keeps, with a fixed key, so that it is a property of the
model and the subset, never of the rows at hand.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax.evaluation.statistics.importance import log_means
from jnf_jax.flows import base_distance
from jnf_jax.methods.method import ImportanceInference, Inference, SubsetInfo
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import COVARIATES, Params

Rows = Mapping[str, np.ndarray]
"""{m: f32[N, *shape]}, on the host, and f32[N, K] under ``COVARIATES`` of some."""

AS_IF = "(as if)"
"""The covariates that rows are decoded as; no view has parentheses in its name."""

BATCH_SIZES = (16, 256, 4_096)
"""Rows in one call: few, most of what is asked for, or tables times many draws."""

MOST_NUMBERS = 500
"""Of a row, given and drawn, for the largest of ``BATCH_SIZES``: pictures have more."""

NUM_AT_ONCE = 16
"""Importance samples of a row in one call."""


FAR = 4.0
"""Distance from the nearest expert beyond which no draw of any expert lies."""

LEAST_ACCEPTANCE = 0.1
"""Mean acceptance below which a chain counts as stuck where it started."""


class Chains(NamedTuple):
    """How each draw from a product of experts came about; arrays [K, N].

    Attributes:
        acceptance: Mean acceptance probability of its chain; 1 in closed form.
        divergences: Transitions of the chain that diverged.
        distance: From the nearest expert, see ``flows.base_distance``: about 1 for a
            draw of that. A chain that climbs a quotient which is no density, or has
            outliers given, ends far from all.
    """

    acceptance: Any
    divergences: Any
    distance: Any

    @property
    def is_suspect(self) -> np.ndarray:
        """Whether any of the three says that the draw is not to be trusted."""
        is_near = self.distance <= FAR  # nor NaN
        return (self.acceptance < LEAST_ACCEPTANCE) | (self.divergences > 0) | ~is_near

    def warning(self) -> str | None:
        """A sentence that names the rows of suspect draws; None where all is well."""
        suspect = self.is_suspect
        if not suspect.any():
            return None
        rows = np.flatnonzero(suspect.any(axis=0))
        named = ", ".join(map(str, rows[:10])) + (", …" if len(rows) > 10 else "")
        return (
            f"{suspect.sum():,} of {suspect.size:,} draws are not to be trusted, of "
            f"rows {named}: their chains diverged, were stuck, or ended far from every "
            "posterior of what was given. Its quotient may be no density there: "
            "`sampler.defensive_weight` > 0 bounds it"
        )


def step_size_of(
    inference: Inference,
    params: dict[str, Params],
    calibration: Rows,
    subset: tuple[str, ...],
) -> jax.Array | None:
    """f32[] for chains given ``subset``, always the same; None where no chain runs."""
    if not calibration:
        return None
    views = {m: jnp.asarray(calibration[m]) for m in subset}
    return inference.adapt(params, jax.random.key(0), views, subset)


def encode(
    inference: Inference,
    params: dict[str, Params],
    given: Rows,
    *,
    step_size: jax.Array | None,
    num_samples: int,
    seed: int,
    numbers: np.ndarray | None = None,
) -> Any:
    """z ~ q(z|x_S), S the names in ``given`` {m: f32[N, ...]}; leaves [K, N, ...].

    Without any names z ~ p(z). ``numbers`` i[N] are those of the rows, which their
    draws depend on; None: 0, …, N − 1.
    """

    def program(key, draws, rows, views):
        keys, _ = _keys_of(key, draws, rows)
        return _encode(inference, names_of(given), params, keys, views, step_size)[0]

    return _for_each_row(program, given, num_samples, seed, numbers)


def generate(
    inference: Inference,
    params: dict[str, Params],
    given: Rows,
    targets: tuple[str, ...],
    *,
    step_size: jax.Array | None,
    num_samples: int,
    seed: int,
    noise: bool,
    numbers: np.ndarray | None = None,
    covariates: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], Chains | None]:
    """{t: f32[K, N, *shape]}, each from a z ~ q(z|x_S) of its own; see ``encode``.

    Beside them how each z came about; None where it is no draw of a product. With
    ``noise`` they are x_t ~ p(x_t|z), else its mean; ``step_size`` is that of
    ``step_size_of`` for S. ``covariates`` f32[N, K] are what rows are decoded as; None:
    their own.
    """
    read = given if covariates is None else {**given, AS_IF: covariates}

    def program(key, draws, rows, views):
        infer_keys, noise_keys = _keys_of(key, draws, rows)
        as_if = views.pop(AS_IF, None)
        own = (infer_keys, views, step_size)
        z, chains = _encode(inference, names_of(given), params, *own)
        z = z if as_if is None else z._replace(covariates=jnp.asarray(as_if))
        # A program a view, which all subsets share.
        shown = (inference, noise, params, noise_keys, z)
        return {t: _show(t, *shown) for t in targets}, chains

    return _for_each_row(program, read, num_samples, seed, numbers)


def sample(
    inference: Inference,
    params: dict[str, Params],
    prior: str,
    *,
    num_samples: int,
    seed: int,
    covariates: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """{m: f32[num_samples, *shape]}: decoder means at draws of the prior of that name.

    ``covariates`` f32[num_samples, K] are what they are decoded as; None: those that
    the model draws, if it has any.

    Raises:
        ValueError: If one of them is not finite, as where a chain diverged.
    """

    def program(key, draws, rows, views):
        del draws
        as_if = views.get(AS_IF)
        return _sample(inference, prior, params, key, rows, as_if)

    rows = {"row": np.zeros(num_samples, np.float32)}
    rows |= {} if covariates is None else {AS_IF: covariates}
    found = {m: x[0] for m, x in _for_each_row(program, rows, 1, seed).items()}
    if not all(np.isfinite(x).all() for x in found.values()):
        raise ValueError(f"draws from the prior {prior!r} are not finite: it diverged")
    return found


def log_bound(
    inference: Inference,
    params: dict[str, Params],
    views: Rows,
    given: tuple[str, ...],
    *,
    num_samples: int,
    seed: int = 0,
) -> np.ndarray:
    """log p(x_T|x_S), nats of the model's units, by importance sampling: f32[N].

    ::

        S = ∅:  log (1/K) Σ_k w_k,                w_k = p(x_T|z_k) p(z_k) / r(z_k|x_T)
        else    log Σ_k w_k p(x_T|z_k) / Σ_k w_k, w_k = p(x_S|z_k) p(z_k) / r(z_k|x_S)

    with z_k from the posterior r that the denominators name, as in
    ``evaluation/measures/likelihood.py``: too low on average for S = ∅ (arXiv
    1509.00519); with S a quotient of two bounds, which may err to either side.
    ``given`` is S; T are the other names of ``views``.

    Raises:
        ValueError: If S = ∅ and the prior is not normalised; if draws of z have no
            density.
    """
    if not isinstance(inference, ImportanceInference):
        raise ValueError(
            "the model draws z and has no density of it, got a call for log p(x); "
            "expected a method whose q(z|x_S) has a density"
        )
    name = inference.prior_names[0]
    if not given and not inference.prior_of(params, name).is_normalised:
        raise ValueError(
            f"`given` is empty, expected some of {sorted(views)}: the prior {name!r} "
            "is not normalised, and the measure 'likelihood' alone estimates its log Z"
        )
    subset = given or names_of(views)

    def program(key, draws, rows, views):
        del draws

        def weights(key: jax.Array) -> dict[str, jax.Array]:
            return _log_weights(inference, subset, params, key, rows, views)

        found = log_means(weights, key, num_samples, NUM_AT_ONCE)
        value = found["all"].value
        return value - found["given"].value if given else value

    return _for_each_row(program, views, 1, seed)[0]


def names_of(views: Rows) -> tuple[str, ...]:
    """Names of the views, sorted: covariates beside them are none."""
    return tuple(sorted(m for m in views if m != COVARIATES))


def _for_each_row(
    program: Callable[..., Any],
    views: Rows,
    num_samples: int,
    seed: int,
    numbers: np.ndarray | None = None,
) -> Any:
    """``program(key, draws i32[B], rows i32[B], views {m: [B, ...]})`` of all (k, i).

    Its leaves [B, ...] come back as NumPy arrays [K, N, ...].
    """
    if numbers is None:
        numbers = np.arange(len(next(iter(views.values()))))
    num_rows = len(numbers)
    num_pairs = num_samples * num_rows
    key = jax.random.key(seed)

    def one_batch(number: int, pairs: np.ndarray) -> Any:
        del number
        draws, rows = np.divmod(pairs % num_pairs, num_rows)
        own = {m: x[rows] for m, x in views.items()}
        return program(key, draws, numbers[rows], own)

    given = sum(x[0].size for x in views.values())
    batch_size = _batch_size(num_pairs, given, one_batch)
    padded = -(-num_pairs // batch_size) * batch_size
    found = map_batches(one_batch, padded, batch_size)
    return jax.tree.map(
        lambda a: a[:num_pairs].reshape(num_samples, num_rows, *a.shape[1:]), found
    )


def _batch_size(
    num_pairs: int, given: int, one_batch: Callable[[int, np.ndarray], Any]
) -> int:
    """See ``BATCH_SIZES``: the largest if it is filled, and rows are of few numbers.

    ``given`` are the numbers that a row has; what ``one_batch`` makes of it is counted.
    """
    smallest, middle, largest = BATCH_SIZES
    if num_pairs < largest or given > MOST_NUMBERS:
        return smallest if num_pairs <= smallest else middle
    made = jax.eval_shape(lambda: one_batch(0, np.arange(smallest)))
    of_row = given + sum(x.size for x in jax.tree.leaves(made)) // smallest
    return largest if of_row <= MOST_NUMBERS else middle


@jax.jit
def _keys_of(key, draws, rows):
    """Keys [2, B] of what is inferred and of the noise, for each (draw, row)."""

    def of_row(draw, row):
        return jax.random.split(jax.random.fold_in(jax.random.fold_in(key, draw), row))

    return jax.vmap(of_row, out_axes=1)(draws, rows)


def _encode(
    inference, subset, params, keys, views, step_size
) -> tuple[Any, Chains | None]:
    """One z a row, leaves [B, ...], and how its chain did.

    Not compiled as a whole: what ``infer`` compiles it shares between subsets.
    """
    if not subset:
        z = _draw_prior(inference, params, keys)
        if COVARIATES in views:
            z = z._replace(covariates=jnp.asarray(views[COVARIATES]))
        return z, None

    def of_row(key, views):
        one = {m: x[None] for m, x in views.items()}
        z, info = inference.infer(params, key, one, subset, step_size)
        chains = None
        if info is not None:
            chains = chains_of(inference, subset, params, one, z, info)
        return jax.tree.map(lambda leaf: leaf[0], (z, chains))

    views = {m: jnp.asarray(x) for m, x in views.items()}
    return jax.vmap(of_row)(keys, views)


@functools.partial(jax.jit, static_argnums=0)
def _draw_prior(inference, params, keys):
    """One z ~ p(z) a key, leaves [B, ...]."""

    def of_row(key):
        z = inference.sample_prior(params, key, 1)
        return jax.tree.map(lambda leaf: leaf[0], z)

    return jax.vmap(of_row)(keys)


def chains_of(
    inference: Inference,
    subset: tuple[str, ...],
    params: dict[str, Params],
    views: Any,
    z: Any,
    info: SubsetInfo,
) -> Chains:
    """How draws z f32[B, D] given ``subset`` came about, arrays [B]."""
    distance = _nearest(inference, subset, params, views, z)
    return Chains(info.acceptance, info.divergences, distance)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _nearest(inference, subset, params, views, z) -> jax.Array:
    """Distance from the nearest expert, f32[B]."""
    experts = inference.posteriors(params, views, subset)
    return jnp.min(jnp.stack([base_distance(q, z) for q in experts]), axis=0)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _show(target, inference, noise, params, keys, z):
    """Means of p(x_t|z), or draws of it, f32[B, *shape]."""
    place = sorted(inference.modalities).index(target)

    def of_row(key, z):
        one = jax.tree.map(lambda leaf: leaf[None], z)
        decoded = inference.decode(params, one)[target]
        if not noise:
            return decoded.mean()[0]
        return decoded.sample(seed=jax.random.fold_in(key, place))[0]

    return jax.vmap(of_row)(keys, z)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _sample(inference, prior, params, key, rows, as_if):
    def of_row(row, as_if):
        z = inference.sample_prior(params, jax.random.fold_in(key, row), 1, prior)
        z = z if as_if is None else z._replace(covariates=as_if[None])
        decoded = inference.decode(params, z)
        return {m: p.mean()[0] for m, p in decoded.items()}

    return jax.vmap(of_row)(rows, as_if)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_weights(inference, subset, params, key, rows, views):
    """log w_k, and log w_k p(x_T|z_k); f32[k, B]."""

    def of_row(row, views):
        own_key = jax.random.fold_in(key, row)
        one = {m: x[None] for m, x in views.items()}
        z, log_ratio = inference.propose(params, own_key, one, subset, NUM_AT_ONCE)
        decoded = inference.decode(params, jax.tree.map(lambda a: a[:, 0], z))
        log_p = {
            m: decoded[m].log_prob(jnp.broadcast_to(x, (NUM_AT_ONCE, *x.shape)))
            for m, x in views.items()
            if m != COVARIATES
        }
        given = log_ratio[:, 0] + sum(log_p[m] for m in subset)
        rest = sum(log_p[m] for m in log_p if m not in subset)
        return {"given": given, "all": given + rest}

    return jax.vmap(of_row, out_axes=1)(rows, views)
