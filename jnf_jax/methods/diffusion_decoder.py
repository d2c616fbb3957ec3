"""A diffusion decoder on a frozen joint VAE: pictures drawn given its mean and z.

Stage ``diffusion_decoder`` learns, for each modality on its own, what the decoder's
mean x̂_m(z) leaves out of a training picture whose z ~ q(z|X)::

    y_0 = (x_m − x̂_m) / s,     loss = Σ_m E_t,ξ ‖ ŝ_m(y_t, t | x̂_m, z) + ξ ‖² / a²
    ŝ(y_t, t | x̂, z) = −( √v y_t + a F(y_t, t, x̂, z) ),     F ≈ a ξ − √v y_0

The weight 1/a² counts errors of F alike at every t (arXiv 2202.00512): what digit a
picture shows is settled where a is small.

A draw is x̂_m + s y, y from the probability-flow ODE started at N(0, τ² I). The two
steps are those of DiffuseVAE (arXiv 2201.00308), with the residual diffused instead of
the picture. No z is inferred otherwise than before: subsets, priors and means stay as
they were.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jnf_jax.losses import denoising_loss
from jnf_jax.methods.method import Batch, Method
from jnf_jax.networks.denoiser import Denoiser
from jnf_jax.noise_schedule import NoiseSchedule, order_faults
from jnf_jax.options import option
from jnf_jax.sampling import probability_flow
from jnf_jax.stage import Stage
from jnf_jax.types import Params, StageParams, Views

STAGE = "diffusion_decoder"


@dataclasses.dataclass(frozen=True)
class DenoiserSettings:
    """Options of the networks F_m, their noise, and how draws are made."""

    features: tuple[int, ...] = option(
        (16, 32, 64), "Channels at the full sides, ½, ¼, …", at_least=1, not_empty=True
    )
    num_blocks: int = option(
        1, "Residual blocks at each of them, down and up.", at_least=1
    )
    residual_scale: float = option(
        0.25, "s: about the standard deviation of x − x̂, in pixel values.", above=0
    )
    beta_min: float = option(0.1, "β(0).", above=0)
    beta_max: float = option(20.0, "β(1).", above=0)
    num_steps: int = option(
        20,
        "Steps of a draw; any number may be drawn with.",
        at_least=1,
        of_identity=False,
    )
    temperature: float = option(
        1.0,
        "τ of a draw, whose flow starts from N(0, τ² I). Below 1 it keeps to the "
        "likelier pictures (reduced temperature, arXiv 1807.03039), at 0 there is one "
        "picture a z.",
        at_least=0,
        of_identity=False,
    )

    def cross_faults(self, field: str) -> list[str]:
        """β grows."""
        return order_faults(field, self.beta_min, self.beta_max)


@dataclasses.dataclass(frozen=True)
class DiffusionDecoder:
    """Denoisers of all modalities that are pictures; hashable, static under jit.

    Parameters {m: F_m}. Modalities of another shape than [H, W, C] have none, and are
    shown by their means. Encoder and decoders are those of ``joint``, a ``JointVAE``.
    """

    joint: Any
    settings: DenoiserSettings

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that have a denoiser, sorted."""
        return tuple(sorted(v.name for v in self.joint.views if len(v.shape) == 3))

    @property
    def schedule(self) -> NoiseSchedule:
        """β."""
        return NoiseSchedule(self.settings.beta_min, self.settings.beta_max)

    @property
    def network(self) -> Denoiser:
        """F, the same architecture for every modality."""
        return Denoiser(self.settings.features, self.settings.num_blocks)

    def init(self, rng_key: jax.Array) -> Params:
        """Parameters of every F_m. They start at zero, which amounts to assuming
        y ~ N(0, I)."""
        shapes = {view.name: view.shape for view in self.joint.views}
        keys = jax.random.split(rng_key, len(self.modalities))
        params, z = {}, jnp.zeros((1, self.joint.latent_size))
        for m, key in zip(self.modalities, keys, strict=True):
            x, t = jnp.zeros((1, *shapes[m])), jnp.zeros(1)
            params[m] = self.network.init(key, x, t, x, z)["params"]
        return params

    def means(self, params: StageParams, z: jax.Array) -> Views:
        """{m: the decoder's mean}, in [0, 1] where draws are conditioned on it."""
        decoded = self.joint.decode(params["joint"], z)
        means = {m: p.mean() for m, p in decoded.items()}
        return means | {m: jnp.clip(means[m], 0, 1) for m in self.modalities}

    def loss(
        self, params: Params, frozen: StageParams, rng_key: jax.Array, batch: Batch
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Mean over data of Σ_m ``denoising_loss``, and the mean of each."""
        draw_key, *keys = jax.random.split(rng_key, 1 + len(self.modalities))
        z = self.joint.encode(frozen["joint"], batch.views).sample(seed=draw_key)
        means = self.means(frozen, z)
        losses = {}
        for m, key in zip(self.modalities, keys, strict=True):
            residual = (batch.views[m] - means[m]) / self.settings.residual_scale
            losses[m] = denoising_loss(
                params[m],
                key,
                residual,
                scaled_score=self._scaled_score(means[m], z),
                schedule=self.schedule,
                weight=lambda t: self.schedule.signal(t) ** -2,
            ).mean()
        return sum(losses.values()), {f"denoising/{m}": x for m, x in losses.items()}

    def draw(
        self,
        params: StageParams,
        rng_key: jax.Array,
        z: jax.Array,
        modalities: tuple[str, ...],
    ) -> Views:
        """{m: x_m ~ p(x_m | x̂_m(z)) f32[B, *shape] in [0, 1]}: one picture a latent.

        Where there is no denoiser it is the mean. The draw of a modality is the same
        whichever others are drawn.
        """
        means = self.means(params, z)
        shown = {m: means[m] for m in modalities}
        keys = jax.random.split(rng_key, len(self.modalities))
        for m, key in zip(self.modalities, keys, strict=True):
            if m not in shown:
                continue
            score = functools.partial(self._scaled_score(means[m], z), params[STAGE][m])
            noise = jax.random.normal(key, means[m].shape)
            residual = probability_flow(
                self.settings.temperature * noise,
                scaled_score=score,
                schedule=self.schedule,
                num_steps=self.settings.num_steps,
            )
            drawn = means[m] + self.settings.residual_scale * residual
            shown[m] = jnp.clip(drawn, 0, 1)
        return shown

    def _scaled_score(self, mean: jax.Array, z: jax.Array):
        """ŝ(params, y_t, t) given x̂ = ``mean`` of z."""

        def scaled_score(params: Params, y: jax.Array, t: jax.Array) -> jax.Array:
            velocity = self.network.apply({"params": params}, y, t, mean, z)
            t = t[:, None, None, None]
            signal, noise = self.schedule.signal(t), self.schedule.noise(t)
            return -(noise * y + signal * velocity)

        return scaled_score


def with_diffusion_decoder(method: Method, settings: DenoiserSettings) -> Method:
    """``method``, which has a joint VAE, with a last stage ``diffusion_decoder``.

    Raises:
        ValueError: If no modality is a picture.
    """
    decoder = DiffusionDecoder(method.inference.joint, settings)
    if not decoder.modalities:
        shapes = {view.name: view.shape for view in decoder.joint.views}
        raise ValueError(
            f"`denoiser` is for pictures [H, W, C], and there are none among {shapes}"
        )
    stage = Stage(
        STAGE, decoder.init, decoder.loss, needs=("joint",), settings=("denoiser",)
    )
    stages = (*method.stages, stage)
    return dataclasses.replace(method, stages=stages, diffusion_decoder=decoder)
