"""The divisor of a product of experts, and the closed form for Gaussian experts.

::

    log π_S(z) = log d(z) + Σ_{j∈S} [ log q_j(z|x_j) − log d_j(z) ]
    d_j(z) = (1 − ε) d(z) + ε q_j(z|x_j)

which for ε = 0 is Π_j q_j / d^(|S|−1).

Where the x_j are independent given z, d is the marginal of z: the model's prior. That
is not always the density that the q_j were averaged over. An energy learnt short-run is
one whose T-step chain follows the marginal, not exp(f) p_0 itself, and training may
leave the aggregate posterior away from any prior: hence the choice.
A diffusion has no log d but its gradient, which is all that unadjusted Langevin needs.

If d were the average of the q_j of N training tuples, d ≥ q_j / N everywhere: none of
these ratios could exceed N. A d that was fitted, or N(0, I), keeps no such promise, and
where it does not chains climb q_j / d without end. ε = 1/N restores the bound.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jnf_jax.methods.method import SubsetInfo
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import GaussianProduct, MatchedNormal, gaussian_product
from jnf_jax.types import GaussianCode, Latents

DIVISORS = ("prior", "reference", "fitted")
"""d: the model's own prior; p_0 of its energy prior; the density of stage ``prior``."""


@dataclasses.dataclass(frozen=True)
class Quotient:
    """The divisor of products; part of a config's ``sampler``."""

    divisor: str = option(
        "prior",
        "d: the model's own prior, the reference p_0 of its energy prior, or the "
        "density of stage `prior`.",
        one_of=DIVISORS,
    )
    defensive_weight: float = option(0.0, "ε.", at_least=0, below=1)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages whose parameters d is made of."""
        return ("joint", "prior") if self.divisor == "fitted" else ("joint",)


def quotient_faults(
    quotient: Quotient, prior: PriorFamily, fitted: PriorFamily | None, kernel: str
) -> list[str]:
    """Why chains of that kernel cannot divide so, one line a fault.

    ``prior`` is the model's own, ``fitted`` that of stage ``prior``, if there is one.
    """
    divisor, weight = quotient.divisor, quotient.defensive_weight
    said = f"`sampler.divisor` is {divisor!r}"
    if divisor == "reference" and prior.bind_reference is None:
        return [
            f"{said}, which only an energy prior has: expected `model.prior.name` "
            f"'energy', got {prior.name!r}"
        ]
    if divisor == "fitted" and fitted is None:
        return [f"{said}, expected a stage 'prior': `fitted_prior.name` is empty"]
    chosen = {"prior": prior, "fitted": fitted}.get(divisor)
    if chosen and chosen.density == "score" and kernel != "ula":
        return [
            f"{said} and `fitted_prior` a {fitted.name}, which has a score and no log "
            f"density: expected `sampler.kernel` 'ula', got {kernel!r}"
        ]
    if weight and chosen and chosen.density != "normalised":
        return [
            f"`sampler.defensive_weight` is {weight}, expected 0 with the divisor "
            f"{chosen.name!r}: d is mixed with normalised experts, and its own log "
            "density is not normalised"
        ]
    return []


def base_product(
    codes: tuple[GaussianCode, ...],
    divisor: BoundPrior,
    quotient: Quotient = Quotient(),
) -> GaussianProduct:
    """Closed-form product of the experts' bases over powers of a divisor's tails.

    With flows, or a divisor that is normal in its tails alone, it still tells which
    data have experts broader than that, and how wide each dimension is: the diagonal
    mass of the chains. Over a divisor whose tails are not known to be a Gaussian's it
    is the product without the division, and ``is_proper`` is None: nobody knows. With a
    defensive weight every product is proper.
    """
    precision = divisor.tail_precision
    product = gaussian_product(
        jnp.stack([code.mean for code in codes]),
        jnp.stack([code.scale for code in codes]),
        prior_scale=1.0 if precision is None else precision**-0.5,
        prior_exponent=0 if precision is None else None,
    )
    if quotient.defensive_weight:
        return product._replace(is_proper=jnp.ones_like(product.is_proper))
    return product._replace(is_proper=None) if precision is None else product


@jax.jit
def draw_gaussian(
    rng_key: jax.Array, codes: tuple[GaussianCode, ...]
) -> tuple[Latents, SubsetInfo]:
    """An exact draw of Gaussian experts over powers of N(0, I); always accepted."""
    product = base_product(codes, NormalPrior(codes[0].mean.shape[-1]))
    z = product.mean + product.scale * jax.random.normal(rng_key, product.mean.shape)
    return z, _exact(product.is_proper)


@jax.jit
def draw_matched(
    rng_key: jax.Array, product: MatchedNormal
) -> tuple[Latents, SubsetInfo]:
    """An exact draw of that normal; always accepted."""
    v = jax.random.normal(rng_key, product.mean.shape)
    return product.colour(v), _exact(product.is_proper)


def _exact(is_proper: jax.Array) -> SubsetInfo:
    batch = is_proper.shape[0]
    return SubsetInfo(jnp.zeros(()), jnp.ones(batch), jnp.zeros(batch, int), ~is_proper)
