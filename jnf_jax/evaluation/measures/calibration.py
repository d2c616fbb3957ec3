"""Simulation-based calibration: are the model's posteriors those of its own joint law?

::

    z* ~ p(z),   X ~ p(X|z*),   z_1 … z_L ~ q_S(z|X_S):   rank = #{l : f(z_l) < f(z*)}

is uniform on 0, …, L where q_S(z|X_S) = p(z|X_S), for any f of z and X_S (arXiv
1804.06788). Measured for f = z_d and f = log p(X_S|z), with every λ_m = 1 and no β. The
likelihood's noise is part of X: encoders that never saw noisy data are at fault here.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jnf_jax.evaluation.statistics.long_run import LongRun, long_run
from jnf_jax.methods.method import Inference, shared_latent, with_shared_latent
from jnf_jax.runtime import parallel
from jnf_jax.runtime.batching import map_batches
from jnf_jax.types import Params, Views

NUM_BINS = 16
"""Bins of a histogram of ranks; L + 1 must be a multiple of it."""

DRAWS_A_CHAIN = 16
"""Draws that each long chain on an unnormalised prior gives, equally far apart."""


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
    """Tests ranks among L draws for uniformity.

    Args:
        ranks: i[N, Q] in 0, …, L; rows are independent, quantities need not be.
        num_draws: L.

    Raises:
        ValueError: L + 1 is no multiple of ``NUM_BINS``, N < 5 ``NUM_BINS`` (χ² would
            be none), or a rank is out of range.

    >>> uniformity(np.arange(320)[:, None] % 32, 31).p_value
    1.0
    """
    if (num_draws + 1) % NUM_BINS:
        raise ValueError(
            f"`num_draws`: got {num_draws}, expected a multiple of {NUM_BINS}, less 1"
        )
    if len(ranks) < 5 * NUM_BINS:
        raise ValueError(f"`ranks`: got {len(ranks)} data, expected >= {5 * NUM_BINS}")
    if ranks.min() < 0 or ranks.max() > num_draws:
        raise ValueError(
            f"`ranks`: got {ranks.min()} to {ranks.max()}, expected 0 to {num_draws}"
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
    """z* that data are simulated from, leading axis N; and the chains that drew them.

    ``chains`` is None where the prior is drawn from exactly.
    """

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

    Args:
        inference: Of the method.
        params: Its parameters by stage.
        rng_key: Of X and of the draws; one key gives the same X whatever S is.
        truth: z*, leading axis N.
        subset: S.
        num_draws: L.
        batch_size: Data in one call.
        step_size: Of chains, as ``inference.adapt`` gave it; None where S needs none.
        mesh: Devices over which data are split.

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
