"""The posterior given a subset: a product of experts divided by powers of the prior.

    log pi_S(z) = sum_{j in S} log q_j(z|x_j) - (|S| - 1) log p(z) + const

by Bayes' rule, from the conditional independence of the views given z (Eq. 12 of
arXiv 2502.03952 as summarised to us). The exponent is |S| - 1 for every subset size.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jnf_jax.sampling.one_by_one import one_by_one

LogDensity = Callable[[jax.Array], jax.Array]
"""z f32[D] -> log-density f32[], nats, up to a constant."""


def _exponent(num_experts: int, prior_exponent: float | int | None) -> float:
    if num_experts < 1:
        raise ValueError("the subset of experts is empty, expected at least one")
    return float(num_experts - 1 if prior_exponent is None else prior_exponent)


def product_log_density(
    expert_log_probs: Sequence[LogDensity],
    prior_log_density: LogDensity,
    *,
    prior_exponent: float | int | None = None,
    defensive_weight: float = 0.0,
) -> LogDensity:
    """log pi_S as a function of z, for any prior with a log-density.

        log pi_S(z) = sum_j log q_j(z) - (|S| - 1) log p(z)
                    = log p(z) + sum_j [ log q_j(z) - log p(z) ]

    The result need not be integrable: experts broader than the prior make it grow
    without bound (``gaussian_product`` tells for Gaussian ones). With a weight e > 0
    each expert is divided by a defensive mixture in place of p (Hesterberg 1995):

        log pi_S(z) = log p(z) + sum_j [ log q_j(z) - log((1 - e) p(z) + e q_j(z)) ]

    No ratio then exceeds 1 / e, so pi_S <= e^-|S| p is integrable for any experts.

    Args:
        expert_log_probs: one callable an expert in S, z -> log q_j(z|x_j), nats.
        prior_log_density: z -> log p(z), nats; a missing constant only shifts the
            result, unless ``defensive_weight`` > 0, which needs it normalised.
        prior_exponent: what stands for |S| - 1; other values only to reproduce numbers
            that were obtained with them.
        defensive_weight: e, in [0, 1).

    Returns:
        A callable with the experts' signature.

    Raises:
        ValueError: no expert; a weight outside [0, 1), or one > 0 with an exponent.

    >>> expert = lambda z: -(z**2).sum()  # N(0, 1/2) up to a constant
    >>> prior = lambda z: -0.5 * (z**2).sum()
    >>> float(product_log_density([expert] * 3, prior)(jnp.ones(1)))  # 3 (-1) + 2 / 2
    -2.0
    """
    exponent = _exponent(len(expert_log_probs), prior_exponent)
    experts = tuple(expert_log_probs)
    if not 0 <= defensive_weight < 1:
        raise ValueError(
            f"`defensive_weight` is {defensive_weight}, expected in [0, 1)"
        )
    if defensive_weight and prior_exponent is not None:
        raise ValueError(
            f"`prior_exponent` is {prior_exponent}, expected None with a "
            f"`defensive_weight` of {defensive_weight}"
        )

    def log_density(z):
        if defensive_weight:
            log_prior = prior_log_density(z)
            log_rest = math.log1p(-defensive_weight) + log_prior
            log_weight = math.log(defensive_weight)
            log_probs = [log_prob(z) for log_prob in experts]
            return log_prior + sum(
                log_prob - jnp.logaddexp(log_rest, log_weight + log_prob)
                for log_prob in log_probs
            )
        log_product = sum(log_prob(z) for log_prob in experts)
        if exponent == 0:  # 0 * log p(z) would be NaN outside the prior's support
            return log_product
        return log_product - exponent * prior_log_density(z)

    return log_density


class GaussianProduct(NamedTuple):
    """Closed form of pi_S for diagonal Gaussians.

    Attributes:
        mean: f32[*B, D].
        scale: standard deviation, f32[*B, D].
        is_proper: bool[*B], whether the quotient is a Gaussian in every dimension.
            Where it is not, ``mean`` and ``scale`` of the dimensions concerned are
            those of the product WITHOUT the division. ``gaussian_product`` always
            knows; None stands for a product over a divisor whose tails nobody does.
    """

    mean: Float[Array, "*batch latent"]
    scale: Float[Array, "*batch latent"]
    is_proper: Bool[Array, "*batch"] | None


def gaussian_product(
    mean: Float[Array, "subset *batch latent"],
    scale: Float[Array, "subset *batch latent"],
    *,
    prior_mean: float | Float[Array, "..."] = 0.0,
    prior_scale: float | Float[Array, "..."] = 1.0,
    prior_exponent: float | int | None = None,
) -> GaussianProduct:
    """Product of Gaussian experts over a power of a Gaussian prior, in closed form.

        Lambda_S = sum_j Lambda_j - (|S|-1) Lambda_0
        mu_S = Lambda_S^-1 [sum_j Lambda_j mu_j - (|S|-1) Lambda_0 mu_0]

    per dimension, Lambda = 1 / scale^2. Where Lambda_S <= 0 there is no such Gaussian;
    those dimensions get the product without the division (Lambda_S = sum_j Lambda_j)
    and the datum is marked, for the caller to report the share.

    Args:
        mean: mu_j, f32[S, *B, D].
        scale: standard deviations, f32[S, *B, D].
        prior_mean: broadcastable to [*B, D].
        prior_scale: standard deviation, broadcastable to [*B, D].
        prior_exponent: see ``product_log_density``.

    Raises:
        ValueError: no expert.
    """
    exponent = _exponent(mean.shape[0], prior_exponent)
    expert_precision = scale**-2.0
    prior_precision = jnp.asarray(prior_scale) ** -2.0

    product_precision = expert_precision.sum(0)
    product_weighted = (expert_precision * mean).sum(0)
    quotient_precision = product_precision - exponent * prior_precision
    quotient_weighted = product_weighted - exponent * prior_precision * prior_mean

    positive = quotient_precision > 0
    precision = jnp.where(positive, quotient_precision, product_precision)
    weighted = jnp.where(positive, quotient_weighted, product_weighted)
    return GaussianProduct(weighted / precision, precision**-0.5, positive.all(-1))


class MatchedNormal(NamedTuple):
    """N(mean, factor factorᵀ): a product of experts, as if all were normal.

    Attributes:
        mean: f32[*B, D].
        factor: z = mean + factor v for v ~ N(0, I), f32[*B, D, D]; not triangular.
        inverse: Of ``factor``.
        is_proper: whether the quotient of the normals is one; bool[*B].
    """

    mean: Float[Array, "*batch latent"]
    factor: Float[Array, "*batch latent latent"]
    inverse: Float[Array, "*batch latent latent"]
    is_proper: Bool[Array, "*batch"]

    def colour(self, v: Float[Array, "... latent"]) -> Float[Array, "... latent"]:
        """v -> z; batch axes as those of ``mean``, further ones before them."""
        return self.mean + jnp.einsum("...ij,...j->...i", self.factor, v)

    def whiten(self, z: Float[Array, "... latent"]) -> Float[Array, "... latent"]:
        """z -> v."""
        return jnp.einsum("...ij,...j->...i", self.inverse, z - self.mean)


def matched_product(
    mean: Float[Array, "subset *batch latent"],
    precision: Float[Array, "subset *batch latent latent"],
    divisor_mean: Float[Array, " latent"],
    divisor_covariance: Float[Array, "latent latent"],
    *,
    defensive_weight: float = 0.0,
    floor: float | None = 0.05,
) -> MatchedNormal:
    """The product over powers of the divisor of dense normals N(m_j, P_j^-1).

        P_S = A - B,         A = sum_j P_j,      B = sum_j D_j^-1 - C_0^-1
        P_S m_S = a - b,     a = sum_j P_j m_j,  b = sum_j D_j^-1 n_j - C_0^-1 m_0

    (n_j, D_j) are the moments of what expert j is divided by, (1 - e) d + e q_j: those
    of d, (m_0, C_0), for e = 0; then B = (|S| - 1) C_0^-1. With A = K K^T the
    eigenvalues of K^-1 P_S K^-T are at most 1; along an axis of one that is not
    positive there is no such normal.

    Args:
        mean: m_j, f32[S, *B, D].
        precision: P_j, f32[S, *B, D, D].
        divisor_mean: m_0, f32[D].
        divisor_covariance: C_0, f32[D, D].
        defensive_weight: e, see ``product_log_density``.
        floor: the least eigenvalue; axes of those below have it, and the mean of the
            product without the division. None: every positive one stays as it is, and
            other axes are those of the product without the division.
    """
    of_datum = one_by_one(
        functools.partial(_matched_one, defensive_weight=defensive_weight, floor=floor)
    )
    for _ in range(mean.ndim - 2):
        of_datum = jax.vmap(of_datum, (1, 1, None, None, None))
    own = jnp.linalg.inv(divisor_covariance)
    return of_datum(mean, precision, divisor_mean, divisor_covariance, own)


def _matched_one(
    mean, precision, divisor_mean, divisor_covariance, own, *, defensive_weight, floor
) -> MatchedNormal:
    """Of one datum: m_j f32[S, D], P_j f32[S, D, D]; ``own`` is C_0^-1."""
    e = defensive_weight
    gap = mean - divisor_mean
    divided = jnp.broadcast_to(own, precision.shape)
    if e:
        of_mixture = (1 - e) * (divisor_covariance + e * jax.vmap(jnp.outer)(gap, gap))
        each = zip(of_mixture, precision, strict=True)
        divided = jnp.stack(
            [jnp.linalg.inv(mixed + e * jnp.linalg.inv(p)) for mixed, p in each]
        )

    pull = jnp.einsum("sij,sj->i", precision, mean)
    lost = jnp.einsum("sij,sj->i", divided, divisor_mean + e * gap)
    lost -= own @ divisor_mean

    root = jnp.linalg.cholesky(precision.sum(0))
    solve = functools.partial(jax.scipy.linalg.solve_triangular, root, lower=True)
    half = solve(divided.sum(0) - own).T
    shares, axes = jnp.linalg.eigh(solve(half))
    kept = 1 - shares
    is_kept = kept > (floor or 0.0)
    variance = 1 / jnp.where(is_kept, kept, floor or 1.0)

    undivided, taken = axes.T @ solve(pull), axes.T @ solve(lost)
    centre = jnp.where(is_kept, (undivided - taken) * variance, undivided)
    back, scale = solve(axes, trans=1), jnp.sqrt(variance)
    return MatchedNormal(
        back @ centre, back * scale, (root @ axes / scale).T, (kept > 0).all()
    )


def initial_positions(
    rng_key: jax.Array, expert_samples: Float[Array, "subset chains *batch latent"]
) -> Float[Array, "chains *batch latent"]:
    """Where chains that R-hat compares start: at draws of different experts.

    The chains of one datum take the experts in turn from a random one on: their starts
    are over-dispersed.

    Args:
        rng_key: chooses the experts.
        expert_samples: draws of each expert in LATENT space, after the flow, one a
            chain: f32[S, R, *B, D].

    Returns:
        Positions f32[R, *B, D].

    Raises:
        ValueError: no expert.
    """
    num_experts, num_chains, *batch, _ = expert_samples.shape
    _exponent(num_experts, None)
    first = jax.random.randint(rng_key, (1, *batch), 0, num_experts)
    turn = jnp.arange(num_chains).reshape(num_chains, *[1] * len(batch))
    expert = (first + turn) % num_experts
    return jnp.take_along_axis(expert_samples, expert[None, ..., None], axis=0)[0]
