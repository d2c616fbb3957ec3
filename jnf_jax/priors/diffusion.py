"""Latent diffusion (VP-SDE, arXiv 2011.13456) as a prior fitted afterwards.

The noise is that of ``noise_schedule.py``, the loss ``losses.denoising_loss``.
Defaults of β and of the number of steps are MLD's (arXiv 2306.04445).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import denoising_loss
from jnf_jax.networks.score import ScoreNetwork
from jnf_jax.noise_schedule import SMALLEST_TIME, NoiseSchedule, order_faults
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.types import Draws, Latents, Nats, Params, Shapes


@dataclasses.dataclass(frozen=True)
class DiffusionPrior(BoundPrior):
    """A sampler and a score; no density.

    Attributes:
        scaled_score: ŝ, (z f32[N, D], t f32[N]) -> f32[N, D].
        latent_size: D.
        schedule: β.
        num_steps: Steps of the reverse SDE.
        score_time: t of ``chain_log_density``.
    """

    scaled_score: Callable[[jax.Array, jax.Array], jax.Array]
    latent_size: int
    schedule: NoiseSchedule = NoiseSchedule()
    num_steps: int = 250
    score_time: float = 0.02
    is_normalised: ClassVar[bool] = False

    def log_density(self, z: Latents) -> Nats:
        """Always raises ValueError: a diffusion gives draws and a score."""
        raise ValueError(
            "a diffusion prior has no log density, got a call of `log_density`; "
            "expected `sample` or `score`"
        )

    def moments(self) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """0 and I: it is fitted to white draws."""
        return jnp.zeros(self.latent_size), jnp.eye(self.latent_size)

    def score(
        self, z: Float[Array, "chains latent"], t: Float[Array, " chains"]
    ) -> Float[Array, "chains latent"]:
        """∇log p_t(z), f32[N, D], at times t in (0, 1]."""
        return self.scaled_score(z, t) / self.schedule.noise(t)[:, None]

    def chain_log_density(self, z: Float[Array, " latent"]) -> Float[Array, ""]:
        """0, with the gradient ∇log p_t(z) at t = ``score_time``.

        It stands for log p in a product that unadjusted Langevin samples, which asks
        for gradients alone; a kernel that compares densities would be misled. p_t is
        the prior shrunk by a(t) and blurred by √v(t), 0.08 at t = 0.02: nearer to 0 the
        division by √v magnifies the errors of ŝ.
        """
        t = jnp.full(1, self.score_time)
        score = jax.lax.stop_gradient(self.score(z[None], t)[0])
        return score @ (z - jax.lax.stop_gradient(z))

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """Draws by Euler–Maruyama on the reverse SDE, from t = 1 to 0.001.

        ::

            z ← z + ( ½ β z + β ∇log p_t(z) ) Δ + √(β Δ) ξ      (no noise at the end)
        """
        start_key, noise_key = jax.random.split(rng_key)
        times = jnp.linspace(1.0, SMALLEST_TIME, self.num_steps + 1)
        delta = (1.0 - SMALLEST_TIME) / self.num_steps

        def step(z, number):
            t = jnp.full(num_samples, times[number])
            beta = self.schedule.rate(times[number])
            xi = jax.random.normal(jax.random.fold_in(noise_key, number), z.shape)
            drift = 0.5 * beta * z + beta * self.score(z, t)
            is_last = number == self.num_steps - 1
            noise = jnp.where(is_last, 0.0, jnp.sqrt(beta * delta))
            return z + drift * delta + noise * xi, None

        z = jax.random.normal(start_key, (num_samples, self.latent_size))
        return jax.lax.scan(step, z, jnp.arange(self.num_steps))[0]


@dataclasses.dataclass(frozen=True)
class DiffusionFamily(PriorFamily):
    """A latent diffusion, fitted by denoising."""

    name: str = "diffusion"
    hidden_size: int = option(256, "Width of the residual MLP.", at_least=1)
    num_layers: int = option(3, "Residual layers of it.", at_least=1)
    num_steps: int = option(
        250,
        "Steps of the sampler; any number may be drawn with.",
        at_least=1,
        of_identity=False,
    )
    score_time: float = option(
        0.02,
        "Time at which its score is taken where subsets divide by it.",
        at_least=SMALLEST_TIME,
        below=1,
        of_identity=False,
    )
    beta_min: float = option(0.1, "β(0).", above=0)
    beta_max: float = option(20.0, "β(1).", above=0)
    stages: ClassVar[tuple[str, ...]] = ("prior",)
    density: ClassVar[str] = "score"

    def cross_faults(self, field: str) -> list[str]:
        """β grows."""
        return order_faults(field, self.beta_min, self.beta_max)

    @property
    def schedule(self) -> NoiseSchedule:
        """β."""
        return NoiseSchedule(self.beta_min, self.beta_max)

    @property
    def network(self) -> ScoreNetwork:
        """The part of ŝ beyond −√v z."""
        return ScoreNetwork(self.hidden_size, self.num_layers)

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """Parameters of the network in ŝ, which starts at 0: draws start as N(0, I)."""
        z = jnp.zeros((1, latent_size))
        return self.network.init(rng_key, z, jnp.zeros(1))["params"]

    def scaled_score(self, params: Params, z: Latents, t: Nats) -> Latents:
        """ŝ(z, t) = network(z, t) − √v(t) z, so that the network learns only how the
        prior differs from N(0, I).

        The score of N(0, I) is −z at any t, and latents that were whitened are near it
        in all but shape. This is the mixed score of arXiv 2106.05931, but for the
        weights: 1 for either term, where theirs add up to 1 and are learnt.
        """
        learnt = self.network.apply({"params": params}, z, t)
        return learnt - self.schedule.noise(t)[..., None] * z

    def loss(self, params, rng_key, z, *memory, log_volume=0.0) -> tuple:
        """Mean ``denoising_loss`` at draws z; no likelihood, so volumes say nothing."""
        how = {"scaled_score": self.scaled_score, "schedule": self.schedule}
        return denoising_loss(params, rng_key, z, **how).mean(), {}, *memory

    def bind(self, params: Params, latent_size: int, encode=None) -> DiffusionPrior:
        return DiffusionPrior(
            functools.partial(self.scaled_score, params),
            latent_size,
            self.schedule,
            self.num_steps,
            self.score_time,
        )
