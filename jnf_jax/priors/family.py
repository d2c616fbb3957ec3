"""A prior as a config names it, and as it is with its parameters: all that others ask.

A family's fields are the options that a config's ``model.prior`` may have. Nothing
outside this folder asks which family it has: it asks the family. Methods that a class
shares with `BoundPrior` or `PriorFamily` are documented here.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import LogRatio, sampled_log_ratio
from jnf_jax.sampling import LogNormaliser
from jnf_jax.types import (
    Draws,
    Latents,
    Nats,
    Params,
    Shapes,
    Verdict,
)

NUM_MOMENT_DRAWS = 2_048


class BoundPrior:
    """p_λ(z) with its parameters: a ``types.Prior``, and what chains and reports ask.

    A prior defines ``log_density`` and ``sample``, and inherits the answers below where
    they are right.
    """

    is_normalised: ClassVar[bool] = True
    log_density: Callable[[Latents], Nats]
    sample: Callable[[jax.Array, int], Draws]

    @property
    def tail_precision(self) -> Float[Array, "*latent"] | None:
        """1/σ² of the normal whose tails these are, f32[] or f32[D]; None where nobody
        knows them to be a normal's."""
        return None

    def moments(self) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """Mean and covariance; those of ``NUM_MOMENT_DRAWS`` draws, always the same,
        where they are not known."""
        z = self.sample(jax.random.key(0), NUM_MOMENT_DRAWS)
        return z.mean(0), jnp.cov(z.T).reshape(z.shape[1], -1)

    def chain_log_density(self, z: Latents) -> Nats:
        """The density as chains climb it: its gradient is the score, and its value is
        ``log_density`` wherever the prior has that."""
        return self.log_density(z)

    def log_normaliser(
        self, rng_key: jax.Array, *, num_chains: int, num_temperatures: int
    ) -> LogNormaliser | None:
        """log Z by annealed chains; None where ``log_density`` has it already."""
        return None

    def as_tilted(self) -> Any:
        """The ``whitening.Tilted`` whose Langevin chains give the draws, or None."""
        return None


class PriorFamily:
    """p_λ(z) for parameters λ; a frozen, hashable dataclass, hence static under jit.

    A family defines ``name``, ``init`` and ``bind``, and inherits the answers below
    where they are right.

    Attributes:
        name: The name that a config calls it by.
        bind: ``(λ, latent_size, encode=None) -> BoundPrior``; for priors that are made
            of it ``encode`` is the joint encoder, views [C, ...] -> GaussianCode
            f32[C, D] (or f32[C M, D] where there are M experts).
        stages: The stages that may learn it: "joint" with the model, "prior"
            afterwards.
        is_learnt: Whether λ has anything to learn.
        learns_apart: Whether λ learns from ``loss`` alone. Stage ``joint`` then adds
            ``loss`` to its own and stops the gradient of its objective, and no loss
            tells which parameters are the best.
        density: "normalised", "unnormalised" (up to log Z) or "score" (the gradient
            alone).
        reads_views: Whether ``bind`` needs ``encode``.
        is_standard_normal: Whether p is N(0, I).
        is_normal: Whether p is a normal with the bound prior's ``moments``: products of
            Gaussian experts over it are closed.
        log_ratio: log q(z|X) − log p(z) for a normal q(z|X), as free of sampling noise
            as p allows.
        bind_reference: ``latent_size -> p_0``, from families that tilt one; or None.
        fit: ``(rng_key, z f32[N, D]) -> λ`` on the host, from families that are fitted
            in one go; or None.
    """

    name: str
    bind: Callable[..., BoundPrior]
    stages: ClassVar[tuple[str, ...]] = ("joint",)
    is_learnt: ClassVar[bool] = True
    learns_apart: ClassVar[bool] = False
    density: ClassVar[str] = "normalised"
    reads_views: ClassVar[bool] = False
    is_standard_normal: ClassVar[bool] = False
    is_normal: ClassVar[bool] = False
    log_ratio: ClassVar[LogRatio] = staticmethod(sampled_log_ratio)
    bind_reference: ClassVar[Callable | None] = None
    fit: ClassVar[Callable | None] = None

    def faults_beside(self, posterior: str, field: str) -> list[str]:
        """Faults of the options in a model of "normal" or "laplace" posteriors."""
        return []

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """Fresh λ; {} where there is nothing to learn. ``shapes`` are the views'."""
        return {}

    def init_memory(self, rng_key: jax.Array, latent_size: int) -> tuple:
        """The arrays that ``loss`` hands from step to step and nothing learns."""
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
            log_volume: Subtracted from log p(z) where z stands for other coordinates.

        Returns:
            The loss f32[], scalars to watch by name, and the memory.
        """
        log_density = self.bind(params, z.shape[-1]).log_density(z)
        log_density = jnp.mean(log_density) - log_volume
        return -log_density, {"log_density": log_density}, *memory

    def watch(self, metrics: Mapping[str, float]) -> Verdict:
        """Tells a person what the scalars of ``loss`` warn of."""
        return Verdict()
