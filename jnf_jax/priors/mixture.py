"""Mixtures of diagonal components, Gaussian or Laplace."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.types import Draws, Latents, Nats, Params, Shapes

KINDS = ("normal", "laplace")


@dataclasses.dataclass(frozen=True)
class MixturePrior(BoundPrior):
    """p(z) = Σ_c π_c Π_d k(z_d; μ_cd, s_cd), k a normal or a Laplace density.

    With it an ELBO is CMVAE's (Palumbo et al., ICLR 2024): since the responsibilities
    q(c|z) are exact, Σ_c q(c|z) [log π_c + log p(z|c) − log q(c|z)] = log p(z).

    Attributes:
        logits: The weights are π = softmax(logits), f32[C].
        means: μ, f32[C, D].
        scales: s, f32[C, D], or one number for all: standard deviations of "normal", b
            of "laplace".
        kind: A member of ``KINDS``.
    """

    logits: Float[Array, " components"]
    means: Float[Array, "components latent"]
    scales: float | Float[Array, "components latent"]
    kind: str = "normal"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"`kind` is {self.kind!r}, expected one of {KINDS}")

    @property
    def tail_precision(self) -> Float[Array, ""] | None:
        """1/s² where every component is a normal of the one scale s."""
        if self.kind != "normal" or not isinstance(self.scales, float):
            return None
        return jnp.asarray(self.scales) ** -2.0

    def component_log_densities(self, z: Latents) -> Float[Array, "*batch components"]:
        """log π_c + log p(z|c), nats; its softmax over c is q(c|z)."""
        u = (z[..., None, :] - self.means) / self.scales
        if self.kind == "normal":
            log_kernel = -0.5 * (jnp.square(u) + jnp.log(2 * jnp.pi))
        else:
            log_kernel = -jnp.abs(u) - jnp.log(2.0)
        log_kernel = jnp.sum(log_kernel - jnp.log(self.scales), axis=-1)
        return jax.nn.log_softmax(self.logits) + log_kernel

    def log_density(self, z: Latents) -> Nats:
        """Log density in nats, normalised."""
        return jax.nn.logsumexp(self.component_log_densities(z), axis=-1)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` exact draws."""
        component_key, noise_key = jax.random.split(rng_key)
        c = jax.random.categorical(component_key, self.logits, shape=(num_samples,))
        draw = jax.random.normal if self.kind == "normal" else jax.random.laplace
        noise = draw(noise_key, (num_samples, self.means.shape[-1]))
        scales = jnp.broadcast_to(self.scales, self.means.shape)
        return self.means[c] + scales[c] * noise


class Pruning(NamedTuple):
    """Which components of a mixture stay, and what that costs.

    Attributes:
        stays: bool[C].
        weights: π of those, f64[C], 0 for the others.
        cost: Nats a draw by which the bound falls with 1, …, C components, f64[C]; the
            last is 0.
    """

    stays: Bool[np.ndarray, " components"]
    weights: Float[np.ndarray, " components"]
    cost: Float[np.ndarray, " components"]


def prune(
    prior: MixturePrior,
    z: Float[np.ndarray, "draws latent"],
    *,
    max_cost: float = 0.01,
) -> Pruning:
    """The components that held-out draws z ~ q(z|X) need, on the host in float64.

    One after the other goes whichever is missed the least, and its weight to those that
    explain its draws then, π_c += π_k E_z[q(k|z) q(c|z, c ≠ k)] / E_z[q(k|z)]. A bound
    with one draw a datum reads the prior as log p(z) alone, hence ::

        cost = E_z[log p_all(z)] − E_z[log p_kept(z)]

    is what it loses, over β. The fewest stay whose cost is at most ``max_cost``.

    The clusters of CMVAE (Palumbo et al., ICLR 2024) are such components. Deviation:
    there they are pruned by the entropy of their assignments, not by the bound.

    Args:
        prior: The mixture that was learnt.
        z: Draws that it did not learn from, f32[N, D].
        max_cost: Nats a draw, at least 0.

    Raises:
        ValueError: ``max_cost`` is negative or ``z`` has no row.

    >>> twice = MixturePrior(jnp.zeros(2), jnp.zeros((2, 1)), 1.0)
    >>> int(prune(twice, np.zeros((1, 1))).stays.sum())
    1
    """
    if max_cost < 0 or not len(z):
        raise ValueError(
            f"`max_cost` is {max_cost} with {len(z)} draws `z`, expected >= 0 with one "
            "or more"
        )
    each = np.asarray(prior.component_log_densities(jnp.asarray(z)), np.float64)
    log_weights = np.asarray(jax.nn.log_softmax(prior.logits), np.float64)
    log_kernels, weights = each - log_weights, np.exp(log_weights)
    weights /= weights.sum()
    whole = _mean_log_mixture(log_kernels, weights)
    cost, num_all = np.zeros(len(weights)), int(np.count_nonzero(weights))
    found = {num_all: weights}
    for num in range(num_all - 1, 0, -1):
        others = [
            _without(log_kernels, weights, int(k)) for k in np.flatnonzero(weights > 0)
        ]
        means = [_mean_log_mixture(log_kernels, w) for w in others]
        best = int(np.argmax(means))
        weights = found[num] = others[best]
        cost[num - 1] = whole - means[best]
    num = 1 + int(np.flatnonzero(cost <= max_cost)[0])
    return Pruning(found[num] > 0, found[num], cost)


def _mean_log_mixture(log_kernels: np.ndarray, weights: np.ndarray) -> float:
    """Mean over draws of log Σ_c π_c k_c(z)."""
    kept = weights > 0
    terms = log_kernels[:, kept] + np.log(weights[kept])
    return float(np.logaddexp.reduce(terms, axis=1).mean())


def _without(log_kernels: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """The weights once that of k went to those that explain its draws then."""
    kept = weights > 0
    kept[k] = False
    terms = log_kernels[:, kept] + np.log(weights[kept])
    total = np.logaddexp.reduce(terms, axis=1)
    own = log_kernels[:, k] + np.log(weights[k])
    of_k = np.exp(own - np.logaddexp(own, total))
    share = of_k @ np.exp(terms - total[:, None])
    # One that explains no draw leaves its weight to the others as they are.
    share = (
        share / share.sum() if share.sum() > 0 else weights[kept] / weights[kept].sum()
    )
    changed = np.zeros_like(weights)
    changed[kept] = weights[kept] + weights[k] * share
    return changed


@dataclasses.dataclass(frozen=True)
class MixtureFamily(PriorFamily):
    """A mixture that is learnt with the model, as in CMVAE.

    Weights and means are learnt, scales are 1; means start uniform in [−1, 1].
    """

    name: str = "mixture"
    num_components: int = option(40, "Number of components, C.", at_least=1)
    kind: str = option("normal", 'Each component, "normal" or "laplace".', one_of=KINDS)
    learns_scales: bool = option(
        False, "Whether scales are learnt too, one a component and dimension."
    )
    stages: ClassVar[tuple[str, ...]] = ("joint", "prior")

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """{"logits": f32[C], "means": f32[C, D]}, and "log_scales" like the means."""
        size = (self.num_components, latent_size)
        params = {
            "logits": jnp.zeros(self.num_components),
            "means": jax.random.uniform(rng_key, size, minval=-1.0, maxval=1.0),
        }
        return params | ({"log_scales": jnp.zeros(size)} if self.learns_scales else {})

    def bind(self, params: Params, latent_size: int, encode=None) -> MixturePrior:
        scales = jnp.exp(params["log_scales"]) if self.learns_scales else 1.0
        return MixturePrior(params["logits"], params["means"], scales, self.kind)
