"""An energy-based prior: a reference density, tilted by a learnt function."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jnf_jax.networks.energy import ACTIVATIONS, TiltNetwork, bound_slope
from jnf_jax.priors.family import (
    Encode,
    draw_option,
    faults_below,
    faults_of_choice,
)
from jnf_jax.priors.laplace import LaplacePrior, SmoothedLaplacePrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.sampling import (
    LangevinRun,
    LangevinSettings,
    langevin_path,
    run_langevin,
)
from jnf_jax.types import Params, Prior

STARTS = ("reference", "posterior", "persistent")
"""Where the chains of training start; draws afterwards always start at p_0."""

REFERENCES = {
    "normal": NormalPrior,
    "laplace": LaplacePrior,
    "smoothed_laplace": SmoothedLaplacePrior,
}


@dataclasses.dataclass(frozen=True)
class EnergyTiltedPrior:
    """p(z) = exp(f(z) − κ‖z‖²) p_0(z) / Z (arXiv 2006.08205, 2409.19862).

    ::

        log p(z) = f(z) − κ‖z‖² + log p_0(z) − log Z;      energy = −log p(z) − log Z

    Z is not known, so ``log_density`` misses it and no likelihood can be built on it.
    Draws are those of short-run Langevin, T steps from p_0: what a short-run model has
    learnt is the law of that chain, and exp(f) p_0 itself may differ from it. f ≡ 0
    gives p_0.

    With a Laplace reference of scale b the tilted density is integrable only where f
    grows more slowly than |z|/b, which the confinement κ > 0 ensures.

    Attributes:
        tilt: f, z f32[*B, D] -> f32[*B], nats.
        reference: p_0.
        langevin: T and step size of draws.
        confinement: κ ≥ 0.
    """

    tilt: Callable[[jax.Array], jax.Array]
    reference: Prior
    langevin: LangevinSettings
    confinement: float = 0.0
    is_normalised: ClassVar[bool] = False

    def log_tilt(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """f(z) − κ‖z‖²: what p adds to the reference; nats, up to log Z."""
        return self.tilt(z) - self.confinement * jnp.sum(jnp.square(z), axis=-1)

    def log_density(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """f(z) − κ‖z‖² + log p_0(z); nats, up to log Z."""
        return self.log_tilt(z) + self.reference.log_density(z)

    def log_prob(self, z: Float[Array, "*batch latent"]) -> Float[Array, "*batch"]:
        """Refused: nobody knows Z.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "an energy-based prior has no normalised log-probability, got a call of "
            "`log_prob`; expected `log_density`, which misses log Z"
        )

    def sample(
        self, rng_key: jax.Array, num_samples: int
    ) -> Float[Array, "num_samples latent"]:
        """``num_samples`` ends of short runs that start at draws of p_0."""
        return self.run(rng_key, num_samples)[0]

    def run(
        self, rng_key: jax.Array, num_samples: int
    ) -> tuple[Float[Array, "num_samples latent"], LangevinRun]:
        """As ``sample``, and how the chains did."""
        start_key, run_key = jax.random.split(rng_key)
        start = self.reference.sample(start_key, num_samples)
        return run_langevin(run_key, self.log_density, start, self.langevin)

    def sample_after(
        self, rng_key: jax.Array, num_samples: int, num_steps: tuple[int, ...]
    ) -> tuple[Float[Array, "numbers num_samples latent"], LangevinRun]:
        """Where the chains of ``sample`` are after each number of steps, 0 being p_0;
        and how they did in all of them."""
        start_key, run_key = jax.random.split(rng_key)
        start = self.reference.sample(start_key, num_samples)
        settings = dataclasses.replace(self.langevin, num_steps=max(num_steps))
        every = max(math.gcd(*num_steps), 1)
        path, run = langevin_path(run_key, self.log_density, start, settings, every)
        return path[np.array(num_steps) // every], run


@dataclasses.dataclass(frozen=True)
class EnergyFamily:
    """An energy-tilted reference, learnt with the model by contrast.

    Defaults are of arXiv 2006.08205 (its s = 0.4 is the step size 0.08 here).

    Attributes:
        reference: p_0, a key of ``REFERENCES``.
        reference_scale: b of a Laplace reference, s of a normal one.
        hidden_sizes: Of the network f.
        activation: "leaky_relu" (slope 0.2) or "gelu".
        num_steps: T of the Langevin chain in training.
        step_size: Its ε.
        kernel: "ula" or "mala".
        start: Where training's negatives start: "reference" (short-run), "posterior"
            (at the positives: contrastive divergence) or "persistent" (where chains of
            the steps before ended). Draws start at p_0 whatever this is: what the
            last two learn from is not the law of T steps, so draw with more.
        confinement: κ.
        slope_bound: Largest slope of f; 0 is none. Needs "leaky_relu".
        magnitude_penalty: Weight of mean f², against drift of f's constant.
        draw_steps: T of draws; -1: as in training. Not of a checkpoint's identity.
        draw_step_size: ε of draws; 0: as in training. Likewise.
    """

    name: str = "energy"
    reference: str = "normal"
    reference_scale: float = 1.0
    hidden_sizes: tuple[int, ...] = (200, 200)
    activation: str = "leaky_relu"
    num_steps: int = 60
    step_size: float = 0.08
    kernel: str = "ula"
    start: str = "reference"
    confinement: float = 0.0
    slope_bound: float = 0.0
    magnitude_penalty: float = 0.0
    draw_steps: int = draw_option(-1)
    draw_step_size: float = draw_option(0.0)

    @property
    def langevin(self) -> LangevinSettings:
        """T and ε of the chain in training."""
        return LangevinSettings(self.kernel, self.num_steps, self.step_size)

    @property
    def draw_langevin(self) -> LangevinSettings:
        """T and ε of the chain that draws."""
        num_steps = self.num_steps if self.draw_steps < 0 else self.draw_steps
        step_size = self.draw_step_size or self.step_size
        return LangevinSettings(self.kernel, num_steps, step_size)

    def faults(self, field: str) -> list[str]:
        """What is wrong, one line a fault."""
        found = faults_of_choice(
            self,
            field,
            {
                "reference": tuple(REFERENCES),
                "activation": tuple(ACTIVATIONS),
                "start": STARTS,
            },
        )
        least = ("confinement", "slope_bound", "magnitude_penalty", "draw_step_size")
        found += faults_below(self, field, dict.fromkeys(least, 0) | {"draw_steps": -1})
        found += faults_below(self, field, {"reference_scale": 0}, strict=True)
        found += self.langevin.faults(field)
        if min(self.hidden_sizes, default=1) < 1:
            found.append(
                f"`{field}.hidden_sizes` is {self.hidden_sizes}, expected positive "
                "sizes"
            )
        if self.slope_bound and self.activation != "leaky_relu":
            found.append(
                f"`{field}.slope_bound` needs the activation 'leaky_relu', whose slope "
                f"is at most 1, got {self.activation!r}"
            )
        is_laplace = self.reference != "normal"
        if is_laplace and not (
            self.confinement > 0 or 0 < self.slope_bound < 1 / self.reference_scale
        ):
            found.append(
                f"`{field}.reference` is {self.reference!r}, on which an unbounded f "
                f"may be no density: expected `{field}.confinement` > 0 or "
                f"0 < `{field}.slope_bound` < 1/reference_scale"
            )
        return found

    @property
    def network(self) -> TiltNetwork:
        """f."""
        return TiltNetwork(self.hidden_sizes, self.activation)

    def init(
        self, rng_key: jax.Array, latent_size: int, shapes: Mapping[str, tuple]
    ) -> Params:
        """Of f, which starts at 0: the prior starts as its reference."""
        del shapes
        return self.network.init(rng_key, jnp.zeros((1, latent_size)))["params"]

    def is_flat(self, params: Params) -> Bool[Array, ""]:
        """Whether f is a constant, as it is until it learns; bool[]."""
        return ~jnp.any(params[f"Dense_{len(self.hidden_sizes)}"]["kernel"])

    def tilt(
        self, params: Params, z: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch"]:
        """f(z) with these parameters, its slope bounded if so set."""
        return self.network.apply({"params": self._bounded(params)}, z)

    def bind(
        self, params: Params, latent_size: int, encode: Encode | None = None
    ) -> EnergyTiltedPrior:
        """The tilted reference."""
        del encode
        params = self._bounded(params)
        return EnergyTiltedPrior(
            lambda z: self.network.apply({"params": params}, z),
            self.bind_reference(latent_size),
            self.draw_langevin,
            self.confinement,
        )

    def bind_reference(self, latent_size: int) -> Prior:
        """p_0."""
        return REFERENCES[self.reference](latent_size, self.reference_scale)

    def _bounded(self, params: Params) -> Params:
        return bound_slope(params, self.slope_bound) if self.slope_bound else params
