"""Mixtures of diagonal components, Gaussian or Laplace."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
