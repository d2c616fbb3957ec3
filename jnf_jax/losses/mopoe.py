"""MoPoE (arXiv 2105.02470): a mixture of the products over all subsets of the views."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.aggregation import choose, subset_products, take
from jnf_jax.losses.aggregate import (
    AggregateModel,
    MixtureTerms,
    log_likelihoods,
    read_experts,
)
from jnf_jax.losses.joint import LogRatio, sampled_log_ratio, weighted_sum
from jnf_jax.types import Mask, Params, Subset, Views


def non_empty_subsets(num: int) -> list[tuple[int, ...]]:
    """All non-empty subsets of 0 … num − 1, by size.

    >>> non_empty_subsets(2)
    [(0,), (1,), (0, 1)]
    """
    sizes = range(1, num + 1)
    return [s for size in sizes for s in itertools.combinations(range(num), size)]


def mopoe(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: AggregateModel,
    subsets: Sequence[Subset] | None = None,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    log_ratio: LogRatio = sampled_log_ratio,
    present: Mask | None = None,
) -> MixtureTerms:
    """One-sample objective of a mixture of products, per datum, in nats; maximised.

    ::

        q(z|X) = (1/J) Σ_T q_T(z|x_T),   q_T ∝ Π_{m∈T} q_m(z|x_m),   over J subsets T
        objective = Σ_m λ_m log p(x_m|z) − (β/J) Σ_T KL(q_T ‖ p),    z ~ q(z|X)

    Source: arXiv 2105.02470, whose released code multiplies the product over all M
    modalities by N(0, I) and no other; so does this. The mean of the divergences is
    more than KL(q(z|X) ‖ p), hence for λ ≡ 1, β = 1 and a normalised prior this is a
    lower bound of log p(X). Deviation: the component that z is drawn from is chosen
    row by row, where the released code gives each component a block of the batch.

    With the full subset alone it is the joint term of ``mvae``; for M = 1 the ELBO with
    the posterior q_1(z|x_1) N(z; 0, I), normalised.

    Args:
        params: Parameters of experts, decoders and prior.
        rng_key: Typed key.
        batch: Modality -> f32[B, ...].
        model: The apply-functions; experts are normal.
        subsets: Names of the members of each T; None: all 2^M − 1.
        likelihood_weights: λ_m by modality; all one if None.
        beta: β.
        log_ratio: KL(q_T ‖ p), as ``joint_elbo`` takes it.
        present: {m: bool[B]}, the views that a row has; T is a component of the rows
            that have all of it. Hidden views change neither a value nor a gradient.
            None hides nothing.

    Returns:
        MixtureTerms of one draw; ``log_ratio`` is the mean over T.

    Raises:
        ValueError: ``subsets`` is empty or has an empty one or an unknown name; names
            differ between ``batch``, experts, ``present`` and ``likelihood_weights``.
    """
    names = sorted(batch)
    if subsets is None:
        members = non_empty_subsets(len(names))
    elif subsets and all(subsets) and {m for s in subsets for m in s} <= {*names}:
        members = [tuple(sorted(names.index(m) for m in set(s))) for s in subsets]
    else:
        raise ValueError(
            f"`subsets` is {list(subsets)}, expected one or more, not empty, of {names}"
        )
    experts, views, present = read_experts(params, batch, model, present)
    has_prior = [len(member) == len(names) for member in members]
    components = subset_products(experts, members, with_prior=has_prior)

    choice_key, draw_key = jax.random.split(rng_key)
    posteriors = model.posterior(components.mean, components.scale)
    z_each = posteriors.sample(seed=draw_key)
    z = take(z_each, choose(choice_key, components.present))
    log_likelihood = log_likelihoods(
        lambda z: model.decode(params, z), z, views, present
    )
    each = log_ratio(posteriors, model.prior(params), z_each)
    num = jnp.maximum(components.present.sum(axis=0), 1)
    ratio = jnp.where(components.present, each, 0.0).sum(axis=0) / num
    objective = weighted_sum(log_likelihood, likelihood_weights) - beta * ratio
    return MixtureTerms(objective, log_likelihood, ratio, z, jnp.ones(z.shape[:-1]))
