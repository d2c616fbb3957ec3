"""A masked autoregressive flow as prior (arXiv 1705.07057)."""

import dataclasses
from typing import ClassVar

import distrax
import jax
import jax.numpy as jnp

from jnf_jax.networks.made import Made, init_flow, made_flow, made_stack
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.types import Draws, Latents, Nats, Params, Shapes


@dataclasses.dataclass(frozen=True)
class FlowPrior(BoundPrior):
    """log p(z) = log N(u; 0, I) + log|det du/dz|, u = f(z).

    ``distribution`` is N(0, I) pushed through the flow; events f32[D].
    """

    distribution: distrax.Distribution

    def log_density(self, z: Latents) -> Nats:
        """Log density in nats, normalised; one pass of the flow."""
        return self.distribution.log_prob(z)

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` exact draws; a scan over dimensions."""
        return self.distribution.sample(seed=rng_key, sample_shape=num_samples)


@dataclasses.dataclass(frozen=True)
class FlowFamily(PriorFamily):
    """A flow that is learnt with the model."""

    name: str = "flow"
    num_blocks: int = option(2, "MADE blocks; 0 is N(0, I).", at_least=0)
    hidden_sizes: tuple[int, ...] = option(
        (128, 128, 128), "Hidden layers of each MADE.", at_least=1, not_empty=True
    )
    max_log_scale: float = option(
        4.0, "Bound of each block's log-scale, nats.", above=0
    )
    stages: ClassVar[tuple[str, ...]] = ("joint", "prior")

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """{block: parameters}; the flow starts as the identity."""
        z, blocks = jnp.zeros(latent_size), self._blocks(latent_size)
        keys = [jax.random.fold_in(rng_key, i) for i in range(len(blocks))]
        return init_flow(blocks, keys, z)

    def bind(self, params: Params, latent_size: int, encode=None) -> FlowPrior:
        base = distrax.MultivariateNormalDiag(jnp.zeros(latent_size))
        blocks = self._blocks(latent_size)
        return FlowPrior(made_flow(base, blocks, params, None, self.max_log_scale))

    def _blocks(self, latent_size: int) -> tuple[Made, ...]:
        return made_stack(latent_size, self.hidden_sizes, self.num_blocks)
