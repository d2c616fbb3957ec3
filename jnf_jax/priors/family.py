"""A prior as a config names it, and as it is with its parameters: all that others ask.

A family's fields are the options that a config's ``model.prior`` may have. Nothing
outside of this folder asks which family it has: it asks the family.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import LogRatio, sampled_log_ratio
from jnf_jax.sampling import LogNormaliser
from jnf_jax.types import GaussianCode, Params, Verdict, Views

Encode = Callable[[Views], GaussianCode]
"""Views [C, ...] -> mean and scale of q(z|X), f32[C, D]; of M experts f32[C M, D]."""


class BoundPrior:
    """p_λ(z) with its parameters: a ``types.Prior``, and what chains and reports ask.

    A prior has ``log_density`` and ``sample``, and inherits the answers below where
    they are right.
    """

    is_normalised: ClassVar[bool] = True

    @property
    def tail_precision(self) -> Float[Array, "*latent"] | None:
        """1/σ², f32[] or f32[D], of the normal that the tails are those of; None where
        nobody knows them to be a normal's."""
        return None

    def chain_log_density(
        self, z: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch"]:
        """The density as chains climb it: its gradient is the score, and its value is
        ``log_density`` wherever the prior has that."""
        return self.log_density(z)

    def log_normaliser(
        self, rng_key: jax.Array, *, num_chains: int, num_temperatures: int
    ) -> LogNormaliser | None:
        """log Z by annealed chains; None where ``log_density`` has it already."""
        del rng_key, num_chains, num_temperatures

    def as_tilted(self) -> Any:
        """The ``whitening.Tilted`` whose Langevin chains give the draws, or None."""
        return None


class PriorFamily:
    """p_λ(z) for parameters λ; a frozen, hashable dataclass, hence static under jit.

    A family has a ``name``, ``init`` and ``bind``, and inherits the answers below where
    they are right.

    Attributes:
        name: The name that a config calls it by.
        bind: ``(λ, latent_size, encode=None) -> BoundPrior``; ``encode`` is the joint
            encoder, for priors that are made of it.
        stages: The stages that may learn it: "joint" with the model, "prior"
            afterwards.
        is_learnt: Whether λ has anything to learn.
        learns_apart: Whether λ learns from ``loss`` alone. Stage ``joint`` then adds
            ``loss`` to its own and stops the gradient of its objective, and no loss
            tells which parameters are the best.
        density: "normalised", "unnormalised" (up to log Z) or "score" (the gradient
            alone).
        is_standard_normal: Whether p is N(0, I), for which products are closed.
        bind_reference: ``latent_size -> p_0`` of a family that tilts one; or None.
        fit: ``(rng_key, z f32[N, D]) -> λ`` on the host, of a family that is fitted in
            one go; or None.
    """

    name: str
    bind: Callable[..., BoundPrior]
    stages: ClassVar[tuple[str, ...]] = ("joint",)
    is_learnt: ClassVar[bool] = True
    learns_apart: ClassVar[bool] = False
    density: ClassVar[str] = "normalised"
    is_standard_normal: ClassVar[bool] = False
    bind_reference: ClassVar[Callable | None] = None
    fit: ClassVar[Callable | None] = None

    def faults_beside(self, posterior: str, field: str) -> list[str]:
        """Faults of the options in a model of "normal" or "laplace" posteriors."""
        del posterior, field
        return []

    def init(
        self, rng_key: jax.Array, latent_size: int, shapes: Mapping[str, tuple]
    ) -> Params:
        """Fresh λ; {} where there is nothing to learn. ``shapes``: of the views."""
        del rng_key, latent_size, shapes
        return {}

    @property
    def log_ratio(self) -> LogRatio:
        """log q(z|X) − log p(z) of a normal q(z|X), as free of noise as p allows."""
        return sampled_log_ratio

    def init_memory(self, rng_key: jax.Array, latent_size: int) -> tuple:
        """The arrays that ``loss`` hands from step to step and nothing learns."""
        del rng_key, latent_size
        return ()

    def loss(
        self,
        params: Params,
        rng_key: jax.Array,
        z: Float[Array, "batch latent"],
        *memory: jax.Array,
        log_volume: float | Float[Array, ""] = 0.0,
    ) -> tuple:
        """−mean log p(z) at draws z ~ q(z|X), nats.

        Args:
            params: λ.
            rng_key: Typed key.
            z: f32[B, D], draws of the aggregate posterior.
            *memory: As ``init_memory`` or the step before gave it.
            log_volume: Taken from log p(z) where z stands for other coordinates.

        Returns:
            The loss f32[], scalars to watch by name, and the memory.
        """
        del rng_key
        log_density = self.bind(params, z.shape[-1]).log_density(z)
        log_density = jnp.mean(log_density) - log_volume
        return -log_density, {"log_density": log_density}, *memory

    def watch(self, metrics: Mapping[str, float]) -> Verdict:
        """What to tell a person of the scalars that ``loss`` gave."""
        del metrics
        return Verdict()


class Fixed(PriorFamily):
    """A family of one: there is nothing to learn."""

    is_learnt = False
