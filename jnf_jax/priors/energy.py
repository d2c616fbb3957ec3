"""An energy-based prior: a reference density, tilted by a learnt function.

The tilt learns by the contrast of arXiv 2409.19862; draws are short Langevin runs.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jnf_jax.losses import (
    LogRatio,
    energy_contrast,
    energy_magnitude,
    sampled_log_ratio,
    tilted_kl,
)
from jnf_jax.networks.energy import ACTIVATIONS, TiltNetwork, bound_slope
from jnf_jax.options import option
from jnf_jax.priors.family import BoundPrior, PriorFamily
from jnf_jax.priors.laplace import LaplacePrior, SmoothedLaplacePrior
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.priors.whitening import Tilted, identity
from jnf_jax.sampling import (
    LEAST_ACCEPTANCE,
    LangevinRun,
    LangevinSettings,
    LogNormaliser,
    langevin_path,
    log_normaliser,
    moment_gap,
    moments,
    run_langevin,
)
from jnf_jax.sampling.langevin import LANGEVIN_KERNELS
from jnf_jax.types import Draws, Latents, Nats, Params, Shapes, Verdict

STARTS = ("reference", "posterior", "persistent")
"""Where the chains of training start; draws afterwards always start at p_0."""

NUM_PERSISTENT_CHAINS = 10_000
RESTART_SHARE = 0.05
"""Share of the continued chains, of those that persist, that start anew from p_0."""

REFERENCES = {
    "normal": NormalPrior,
    "laplace": LaplacePrior,
    "smoothed_laplace": SmoothedLaplacePrior,
}

MAX_DIVERGED = 0.01
"""Share of a batch's chains above which a person is told."""

Chains = Float[Array, "chains latent"]


@dataclasses.dataclass(frozen=True)
class EnergyTiltedPrior(BoundPrior):
    """p(z) = exp(f(z) − κ‖z‖²) p_0(z) / Z (arXiv 2006.08205, 2409.19862).

    ::

        log p(z) = f(z) − κ‖z‖² + log p_0(z) − log Z;      energy = −log p(z) − log Z

    Z is not known, so ``log_density`` misses it and no likelihood can be built on it.
    Draws are those of short-run Langevin, T steps from p_0: a short-run model learns
    the law of that chain, and exp(f) p_0 itself may differ from it. f ≡ 0 gives p_0.
    With a Laplace reference of scale b the tilted density is integrable only where f
    grows more slowly than |z|/b, which the confinement κ > 0 ensures.

    Attributes:
        tilt: f, z f32[*B, D] -> f32[*B], nats.
        reference: p_0.
        langevin: T and step size of draws.
        confinement: κ ≥ 0.
    """

    tilt: Callable[[jax.Array], jax.Array]
    reference: BoundPrior
    langevin: LangevinSettings
    confinement: float = 0.0
    is_normalised: ClassVar[bool] = False

    @property
    def tail_precision(self) -> Float[Array, "*latent"] | None:
        """A normal reference's, raised by the confinement."""
        precision = self.reference.tail_precision
        return None if precision is None else precision + 2 * self.confinement

    def log_tilt(self, z: Latents) -> Nats:
        """f(z) − κ‖z‖², which p adds to log p_0; nats, up to log Z."""
        return self.tilt(z) - self.confinement * jnp.sum(jnp.square(z), axis=-1)

    def log_density(self, z: Latents) -> Nats:
        """f(z) − κ‖z‖² + log p_0(z); nats, up to log Z."""
        return self.log_tilt(z) + self.reference.log_density(z)

    def log_normaliser(
        self, rng_key: jax.Array, *, num_chains: int, num_temperatures: int
    ) -> LogNormaliser:
        """log Z, by annealing draws of p_0 towards p."""
        start_key, rng_key = jax.random.split(rng_key)
        return log_normaliser(
            rng_key,
            self.log_tilt,
            self.reference.log_density,
            self.reference.sample(start_key, num_chains),
            num_temperatures=num_temperatures,
            step_size=self.langevin.step_size,
        )

    def as_tilted(self) -> Tilted:
        """This prior, in its own coordinates."""
        return Tilted(self, identity(self.reference.latent_size))

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` ends of short runs that start at draws of p_0."""
        return self.run(rng_key, num_samples)[0]

    def run(self, rng_key: jax.Array, num_samples: int) -> tuple[Draws, LangevinRun]:
        """As ``sample``, and how the chains did."""
        path, run = self.sample_after(rng_key, num_samples, (self.langevin.num_steps,))
        return path[0], run

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
class EnergyFamily(PriorFamily):
    """An energy-tilted reference, learnt with the model by contrast.

    Defaults are of arXiv 2006.08205 (its s = 0.4 is the step size 0.08 here).
    """

    name: str = "energy"
    reference: str = option("normal", "p_0, a key of `REFERENCES`.", one_of=REFERENCES)
    reference_scale: float = option(
        1.0, "b of a Laplace reference, s of a normal one.", above=0
    )
    hidden_sizes: tuple[int, ...] = option(
        (200, 200), "Hidden layers of the network f.", at_least=1
    )
    activation: str = option(
        "leaky_relu", '"leaky_relu" (slope 0.2) or "gelu".', one_of=ACTIVATIONS
    )
    num_steps: int = option(60, "T of the Langevin chain in training.", at_least=0)
    step_size: float = option(0.08, "ε of that chain.", above=0)
    kernel: str = option("ula", '"ula" or "mala".', one_of=LANGEVIN_KERNELS)
    start: str = option(
        "reference",
        'Where training\'s negatives start: "reference" (short-run), "posterior" (at '
        'the positives: contrastive divergence) or "persistent" (where chains of the '
        "steps before ended). Draws start at p_0 whatever this is: what the last two "
        "learn from is not the law of T steps, so draw with more.",
        one_of=STARTS,
    )
    confinement: float = option(0.0, "κ.", at_least=0)
    slope_bound: float = option(
        0.0, 'Largest slope of f; 0 is none. Needs "leaky_relu".', at_least=0
    )
    magnitude_penalty: float = option(
        0.0, "Weight of mean f², against drift of f's constant.", at_least=0
    )
    draw_steps: int = option(
        -1, "T of draws; -1: as in training.", at_least=-1, of_identity=False
    )
    draw_step_size: float = option(
        0.0, "ε of draws; 0: as in training.", at_least=0, of_identity=False
    )
    stages: ClassVar[tuple[str, ...]] = ("joint", "prior")
    learns_apart: ClassVar[bool] = True
    density: ClassVar[str] = "unnormalised"

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

    def cross_faults(self, field: str) -> list[str]:
        """Whether f may be bounded so, and whether it leaves a density."""
        found = []
        if self.slope_bound and self.activation != "leaky_relu":
            found.append(
                f"`{field}.slope_bound` needs the activation 'leaky_relu', whose slope "
                f"is at most 1, got {self.activation!r}"
            )
        is_laplace = self.reference != "normal" and self.reference_scale > 0
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

    def init(self, rng_key: jax.Array, latent_size: int, shapes: Shapes) -> Params:
        """Parameters of f, which starts at 0: the prior starts as its reference."""
        return self.network.init(rng_key, jnp.zeros((1, latent_size)))["params"]

    def is_flat(self, params: Params) -> Bool[Array, ""]:
        """Whether f is a constant, as it is until it learns; bool[]."""
        return ~jnp.any(params[f"Dense_{len(self.hidden_sizes)}"]["kernel"])

    def tilt(self, params: Params, z: Latents) -> Nats:
        """f(z) with these parameters, its slope bounded if so set."""
        return self.bind(params, z.shape[-1]).tilt(z)

    def bind(self, params: Params, latent_size: int, encode=None) -> EnergyTiltedPrior:
        if self.slope_bound:  # here, outside of chains
            params = bound_slope(params, self.slope_bound)
        return EnergyTiltedPrior(
            lambda z: self.network.apply({"params": params}, z),
            self.bind_reference(latent_size),
            self.draw_langevin,
            self.confinement,
        )

    def bind_reference(self, latent_size: int) -> BoundPrior:
        """p_0."""
        return REFERENCES[self.reference](latent_size, self.reference_scale)

    @property
    def log_ratio(self) -> LogRatio:
        """Sampled in the tilt alone where the reference is normal."""
        return tilted_kl if self.reference == "normal" else sampled_log_ratio

    def init_memory(self, rng_key: jax.Array, latent_size: int) -> tuple[Chains, ...]:
        """The chains if they persist, f32[10,000, D]: at first draws of p_0."""
        if self.start != "persistent":
            return ()
        chains = self.bind_reference(latent_size).sample(rng_key, NUM_PERSISTENT_CHAINS)
        return (chains,)

    def loss(self, params, rng_key, z, *memory, log_volume=0.0, weights=None) -> tuple:
        """The contrast that the tilt learns from, and scalars to watch it by.

        There are as many negatives as positives, by Langevin on the prior as it stands
        from where ``start`` says. One deviation from the paper's order: α, θ and φ are
        updated in one step, not α first. Arguments are those of every family, with
        positives z⁺ ~ q(z|X) f32[B, D] for z (of a mixture as many from each expert)
        and their ``weights``, as ``losses.energy_contrast`` takes them. The contrast
        is no likelihood: ``log_volume`` says nothing.

        Returns:
            A loss with the gradient of ``losses.energy_contrast``, NaN where all chains
            diverged. Scalars: the energy gap mean f(z⁺) − mean f(z⁻) (nats; near 0
            while the chain keeps up); the chain's displacement, gradient norm and
            acceptance; the share of chains that diverged (which give no negatives) and
            the first step at which one did, 0 where none; the means over dimensions of
            variance and excess kurtosis of z⁺ and z⁻; and how far their means lie apart
            (in sd of z⁺; √(2/B) where they are equal), those of z⁺ with ``weights``.
            Last the memory, with the chains that were continued where they are now.
        """
        positives = jax.lax.stop_gradient(z)
        prior = self.bind(jax.lax.stop_gradient(params), positives.shape[-1])
        start_key, run_key = jax.random.split(rng_key)
        start, num = positives, len(positives)
        if self.start == "persistent":
            rows, start = _continued(start_key, memory[0], prior.reference, num)
        elif self.start == "reference":
            start = prior.reference.sample(start_key, num)
        negatives, run = self._negatives(params, prior, run_key, start)
        if self.start == "persistent":
            memory = (memory[0].at[rows].set(negatives),)
        # A chain that diverged stayed where it was: no draw of the prior. Where all did
        # there is no contrast: f would rise without an end, and no chain come back.
        holds = (run.first_bad_step == 0).astype(jnp.float32)
        some = holds.sum()
        loss = energy_contrast(
            params, positives, negatives, tilt=self.tilt, weights=weights,
            negative_weights=holds / jnp.maximum(some, 1.0),
        )  # fmt: skip
        loss = jnp.where(some > 0, loss, jnp.nan)
        of_positives, of_negatives = moments(positives, weights), moments(negatives)
        bad_steps = jnp.where(holds > 0, self.num_steps, run.first_bad_step)
        first_bad_step = jnp.where(some < len(holds), bad_steps.min(), 0)
        metrics = {
            "energy_gap": -loss,
            "langevin/displacement": run.displacement.mean(),
            "langevin/gradient_norm": run.gradient_norm.mean(),
            "langevin/acceptance": run.acceptance.mean(),
            "langevin/diverged": 1 - some / len(holds),
            "langevin/first_bad_step": first_bad_step.astype(jnp.float32),
            "moments/mean_gap": moment_gap(of_negatives, of_positives).mean,
            "moments/variance_positive": of_positives.variance.mean(),
            "moments/variance_negative": of_negatives.variance.mean(),
            "moments/kurtosis_positive": of_positives.kurtosis.mean(),
            "moments/kurtosis_negative": of_negatives.kurtosis.mean(),
        }
        if self.magnitude_penalty:
            draws = jnp.concatenate([positives, negatives])
            magnitude = energy_magnitude(params, draws, tilt=self.tilt)
            loss = loss + self.magnitude_penalty * magnitude
        return loss, metrics, *memory

    def _negatives(self, params, prior, rng_key, start) -> tuple[Chains, LangevinRun]:
        """Where the chains end; where they start, if that is the prior's law already:
        draws of p_0, with κ = 0 and f still flat."""

        def run(num_steps: int) -> tuple[jax.Array, LangevinRun]:
            settings = dataclasses.replace(self.langevin, num_steps=num_steps)
            return run_langevin(rng_key, prior.log_density, start, settings)

        if self.start != "reference" or self.confinement:
            return run(self.num_steps)
        # Before ``prior_start_step`` chains would cost more than all else of a step.
        return jax.lax.cond(
            self.is_flat(params), lambda: run(0), lambda: run(self.num_steps)
        )

    def watch(self, metrics: Mapping[str, float]) -> Verdict:
        """Tells of chains that diverge, or reject nearly all steps.

        Training goes on, on the negatives of the others, until all diverge.
        """
        share = metrics.get("langevin/diverged", 0.0)
        acceptance = metrics.get("langevin/acceptance", 1.0)
        warning = failure = ""
        if share == 1:
            failure = (
                "all Langevin chains of the energy diverged; lower its learning rate, "
                "or the chains' step size"
            )
        if share > MAX_DIVERGED:
            warning = (
                f"{share:.1%} of the Langevin chains diverged, the first at their own "
                f"step {metrics['langevin/first_bad_step']:.0f}"
            )
        elif acceptance < LEAST_ACCEPTANCE:
            warning = (
                f"the Langevin chains' mean acceptance is {acceptance:.2g}, expected "
                f">= {LEAST_ACCEPTANCE}"
            )
        if warning:
            warning += (
                ": the energy is steeper than their step size allows, and is likely "
                "to get steeper; lower the learning rate, or the step size"
            )
        return Verdict(warning, failure)


def _continued(
    rng_key: jax.Array, chains: Chains, reference: BoundPrior, num: int
) -> tuple[jax.Array, Float[Array, "batch latent"]]:
    """``num`` different rows of the chains, and where those go on from."""
    if num > len(chains):
        raise ValueError(
            f"`positives` are {num:,}, expected at most {len(chains):,}: one of the "
            "chains that persist for each"
        )
    row_key, restart_key, fresh_key = jax.random.split(rng_key, 3)
    rows = jax.random.choice(row_key, len(chains), (num,), replace=False)
    restarts = jax.random.bernoulli(restart_key, RESTART_SHARE, (num, 1))
    fresh = reference.sample(fresh_key, num)
    return rows, jnp.where(restarts, fresh, chains[rows])
