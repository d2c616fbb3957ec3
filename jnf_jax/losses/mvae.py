"""MVAE (arXiv 1802.05335): a product of experts trained on sub-sampled ELBOs."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.aggregation import product
from jnf_jax.losses.aggregate import (
    AggregateModel,
    MixtureTerms,
    log_likelihoods,
    read_experts,
)
from jnf_jax.losses.joint import LogRatio, sampled_log_ratio, weighted_sum
from jnf_jax.types import Mask, Params, Views


def random_subsets(rng_key: jax.Array, present: Mask) -> Mask:
    """One S a row, uniformly among the 2^|O| − 1 non-empty subsets of what it has, O.

    Args:
        rng_key: Typed key.
        present: {m: bool[B]}, O of every row; S is empty where that is.

    Returns:
        {m: bool[B]}, S of every row.
    """
    names = sorted(present)
    has = jnp.stack([present[m] for m in names], axis=-1)
    # The bits of a number from 1 to 2^|O| − 1 say which members of O are in S.
    num_subsets = jnp.left_shift(1, has.sum(axis=-1))
    number = jax.random.randint(rng_key, has.shape[:1], 1, jnp.maximum(num_subsets, 2))
    position = jnp.cumsum(has, axis=-1) - 1
    chosen = has & (jnp.right_shift(number[:, None], position) % 2 == 1)
    return {m: chosen[:, i] for i, m in enumerate(names)}


def mvae(
    params: Params,
    rng_key: jax.Array,
    batch: Views,
    *,
    model: AggregateModel,
    num_subsets: int = 1,
    likelihood_weights: Mapping[str, float] | None = None,
    beta: float | Float[Array, ""] = 1.0,
    log_ratio: LogRatio = sampled_log_ratio,
    present: Mask | None = None,
) -> MixtureTerms:
    """The sub-sampled ELBO, per datum, in nats; maximised.

    ::

        q(z|x_S) ∝ p(z) Π_{m∈S} q_m(z|x_m),    p = N(0, I)
        ELBO(x_S) = Σ_{m∈S} λ_m log p(x_m|z) − β KL(q(z|x_S) ‖ p),    z ~ q(z|x_S)
        objective = ELBO(X) + Σ_m ELBO(x_m) + Σ_{k≤K} ELBO(x_{S_k})

    Source: arXiv 1802.05335, equation 5. Each ELBO bounds log p(x_S) for λ ≡ 1, β = 1;
    their sum bounds nothing. Deviation: S_k is drawn row by row, uniformly among all
    non-empty subsets, not once for the batch. β is constant: there is no annealing.

    For M = 1 it is 2 + K times the ELBO with the posterior q_1(z|x_1) N(z; 0, I),
    normalised.

    Args:
        params: Parameters of experts and decoders.
        rng_key: Typed key.
        batch: Modality -> f32[B, ...].
        model: The apply-functions; experts are normal, and p is N(0, I): any other
            would make the products no longer normal.
        num_subsets: K ≥ 0.
        likelihood_weights: λ_m by modality; all one if None.
        beta: β.
        log_ratio: KL(q(z|x_S) ‖ p), as ``joint_elbo`` takes it.
        present: {m: bool[B]}, the views that a row has: X, x_m and S_k are of these.
            Hidden views change neither a value nor a gradient. None hides nothing.

    Returns:
        MixtureTerms; all but ``objective`` are of ELBO(X).

    Raises:
        ValueError: ``num_subsets`` < 0; names differ between ``batch``, experts,
            ``present`` and ``likelihood_weights``.
    """
    if num_subsets < 0:
        raise ValueError(f"`num_subsets` is {num_subsets}, expected >= 0")
    experts, views, present = read_experts(params, batch, model, present)
    names, prior = sorted(batch), model.prior(params)

    def elbo(key: jax.Array, given: Mask) -> MixtureTerms:
        """ELBO(x_S); decoders that ``given`` does not name are not run."""
        nothing = jnp.zeros_like(present[names[0]])
        shown = jnp.stack([given.get(m, nothing) for m in names])
        code = product(experts._replace(present=shown), with_prior=True)
        posterior = model.posterior(code.mean, code.scale)
        z = posterior.sample(seed=key)
        log_likelihood = log_likelihoods(
            lambda z: model.decode(params, z), z, views, given
        )
        weights = likelihood_weights and {
            m: weight
            for m, weight in likelihood_weights.items()
            if m in given or m not in names
        }
        ratio = log_ratio(posterior, prior, z)
        objective = weighted_sum(log_likelihood, weights) - beta * ratio
        return MixtureTerms(objective, log_likelihood, ratio, z, jnp.ones_like(ratio))

    joint_key, single_key, subset_key = jax.random.split(rng_key, 3)
    terms = elbo(joint_key, present)
    objective = terms.objective
    for m, key in zip(names, jax.random.split(single_key, len(names)), strict=True):
        objective += elbo(key, {m: present[m]}).objective
    for key in jax.random.split(subset_key, num_subsets):
        choice_key, draw_key = jax.random.split(key)
        objective += elbo(draw_key, random_subsets(choice_key, present)).objective
    return terms._replace(objective=objective)
