"""A masked autoregressive flow as prior (arXiv 1705.07057)."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.flows import flow_posterior
from jnf_jax.networks.made import made_stack
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, Encode, PriorFamily
from jnf_jax.types import Params


@dataclasses.dataclass(frozen=True)
class FlowPrior(BoundPrior):
    """log p(z) = log N(u; 0, I) + log|det du/dz|, u = f(z).

    Attributes:
        distribution: N(0, I) pushed through the flow; events f32[D].
    """

    distribution: distrax.Distribution

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Log density in nats, normalised; one pass of the flow."""
        return self.distribution.log_prob(z)

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
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

    def init(
        self, rng_key: jax.Array, latent_size: int, shapes: Mapping[str, tuple]
    ) -> Params:
        """{block: parameters}; the flow starts as the identity."""
        del shapes
        blocks = made_stack(latent_size, self.hidden_sizes, self.num_blocks)
        return {
            str(i): block.init(jax.random.fold_in(rng_key, i), jnp.zeros(latent_size))[
                "params"
            ]
            for i, block in enumerate(blocks)
        }

    def bind(
        self, params: Params, latent_size: int, encode: Encode | None = None
    ) -> FlowPrior:
        """The flow with these parameters."""
        del encode
        blocks = made_stack(latent_size, self.hidden_sizes, self.num_blocks)

        def conditioner(i: int):
            return lambda z: blocks[i].apply({"params": params[str(i)]}, z)

        base = distrax.MultivariateNormalDiag(jnp.zeros(latent_size))
        return FlowPrior(
            flow_posterior(
                base,
                [conditioner(i) for i in range(self.num_blocks)],
                max_log_scale=self.max_log_scale,
            )
        )
