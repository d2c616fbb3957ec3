"""Fitting one posterior for every subset of the views to the frozen joint one."""

import dataclasses
from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.types import Latents, Mask, Params


@dataclasses.dataclass(frozen=True)
class SubsetModel:
    """Apply-functions of the stage; hashable, so static under ``jax.jit``.

    Attributes:
        joint_posterior: ``(frozen, batch) -> q(z|X)``: the frozen joint encoder, or a
            reader of its cached output.
        posterior: ``(params, batch, given) -> q(z|x_S)``, where S is what the mask
            ``given`` lets through, row by row.
        redraw: ``(frozen, rng_key, batch, z f32[B, D]) -> batch`` with x ~ p(x|z) in
            place of what it has, covariates kept; only ``simulated_subset_nll`` calls
            it.
    """

    joint_posterior: Callable[[Params, Any], distrax.Distribution]
    posterior: Callable[[Params, Any, Mask], distrax.Distribution]
    redraw: Callable[[Params, jax.Array, Any, Latents], Any] | None = None


def proper_subsets(rng_key: jax.Array, present: Mask) -> Mask:
    """One random S ⊊ O a row, O being the views that the row has.

    ::

        |S| ~ Uniform{0, …, |O| − 1};   S ~ Uniform{S ⊂ O of that size}

    Args:
        rng_key: Typed key.
        present: {m: bool[B]}, O of every row; at least one view each.

    Returns:
        {m: bool[B]}, S of every row.
    """
    names = sorted(present)
    has = jnp.stack([present[m] for m in names], axis=-1)
    size_key, order_key = jax.random.split(rng_key)
    size = jax.random.randint(size_key, has.shape[:1], 0, has.sum(axis=-1))
    # The `size` smallest of independent numbers are a uniform choice; absent views come
    # after all others.
    order = jnp.where(has, jax.random.uniform(order_key, has.shape), jnp.inf)
    rank = jnp.argsort(jnp.argsort(order, axis=-1), axis=-1)
    chosen = rank < size[:, None]
    return {m: chosen[:, i] for i, m in enumerate(names)}


def subset_nll(
    params: Params,
    frozen: Params,
    rng_key: jax.Array,
    batch: Any,
    given: Mask,
    *,
    model: SubsetModel,
    num_samples: int = 1,
) -> Float[Array, " batch"]:
    """Cross-entropy of the subsets' posterior under the joint one, nats; minimised.

    ::

        loss = − (1/n) Σ_i log q(z_i|x_S),     z_1 … z_n ~ q(z|X), no gradient
             = KL(q(z|X) ‖ q(z|x_S)) + H(q(z|X))        in expectation

    Its optimum is q(z|x_S) = E[q(z|X) | x_S]: for S = ∅ the aggregate posterior, for
    S = {j} the unimodal posterior of arXiv 2502.03952, whose ``unimodal_nll`` has this
    as its term ``nll[j]``. The KL stays above I(z; x_∖S | x_S), which is what the other
    views add.

    Args:
        params: Parameters of the posterior.
        frozen: Parameters of the joint encoder; never updated.
        rng_key: Typed key of the draws.
        batch: Modality -> f32[B, ...], or whatever ``model`` reads.
        given: S of every row, {m: bool[B]}; see ``proper_subsets``.
        model: The apply-functions.
        num_samples: n draws a datum; x_S is encoded once for all of them.

    Returns:
        f32[B], un-reduced.

    Raises:
        ValueError: If ``num_samples`` < 1.
    """
    if num_samples < 1:
        raise ValueError(f"`num_samples` is {num_samples}, expected >= 1")
    joint = model.joint_posterior(frozen, batch)
    z = jax.lax.stop_gradient(joint.sample(seed=rng_key, sample_shape=num_samples))
    return -jnp.mean(model.posterior(params, batch, given).log_prob(z), axis=0)


def simulated_subset_nll(
    params: Params,
    frozen: Params,
    rng_key: jax.Array,
    batch: Any,
    given: Mask,
    *,
    model: SubsetModel,
) -> Float[Array, " batch"]:
    """Cross-entropy of the subsets' posterior under the model itself, nats; minimised.

    ::

        loss = − log q(z|x̃_S),     z ~ q(z|X),   x̃ ~ p(x|z), no gradient

    With the aggregate posterior q̂(z) = E[q(z|X)] its optimum is what the decoders make
    of x_S, q(z|x_S) ∝ q̂(z) Π_{m∈S} p(x_m|z), where that of ``subset_nll`` is an average
    over the data that have x_S. The noise is fresh at every step, so that few rows are
    not learnt by heart; what the decoders get wrong is learnt with the rest. S may have
    views that the row lacks, since z decodes to all of them.

    Args:
        params: Parameters of the posterior.
        frozen: Parameters of joint encoder and decoders; never updated.
        rng_key: Typed key of the draws.
        batch: Modality -> f32[B, ...], or whatever ``model`` reads.
        given: S of every row, {m: bool[B]}; see ``proper_subsets``.
        model: The apply-functions, ``redraw`` among them.

    Returns:
        f32[B], un-reduced.

    Raises:
        ValueError: ``model`` has no ``redraw``.
    """
    if model.redraw is None:
        raise ValueError("`model.redraw` is None, expected a function that draws x")
    z_key, x_key = jax.random.split(rng_key)
    z = model.joint_posterior(frozen, batch).sample(seed=z_key)
    drawn = jax.lax.stop_gradient((model.redraw(frozen, x_key, batch, z), z))
    return -model.posterior(params, drawn[0], given).log_prob(drawn[1])
