"""MLD (arXiv 2306.04445): autoencoders of single views, then one diffusion of all.

Stage ``autoencoders`` trains a deterministic autoencoder a view, each on its own.
Stage ``joint`` learns the joint law of their codes z = (z_1 … z_M), normalised by the
training set's statistics, as a masked multi-time diffusion: some views are given, at
time 0, the others diffused, and one network learns the score for every choice of both
(``losses.multi_time_denoising_loss``). A subset is inferred by encoding it and running
the reverse SDE of the prior ``diffusion`` on the codes of all other views; with nothing
given that is a joint draw.

There are draws and no density: no likelihood, and no log q(z|x_S). Given all views z is
their codes, so that the ceiling of coherence is that of the autoencoders.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jnf_jax.losses import hide_absent, multi_time_denoising_loss
from jnf_jax.losses.multi_time import join, split
from jnf_jax.methods.aggregated import aggregation_faults, standard_normal_faults
from jnf_jax.methods.joint_inference import ModelInference
from jnf_jax.methods.joint_vae import View, build_views, mean_where_present
from jnf_jax.methods.method import Batch, Method, check_prior_name, check_subset
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.networks.build import Network, build_trunk
from jnf_jax.networks.projector import Projector
from jnf_jax.networks.score import ScoreNetwork
from jnf_jax.noise_schedule import NoiseSchedule, order_faults
from jnf_jax.options import option
from jnf_jax.priors.diffusion import DiffusionPrior
from jnf_jax.priors.family import BoundPrior
from jnf_jax.sampling import ChainSettings
from jnf_jax.stage import Stage
from jnf_jax.types import (
    Draws,
    Latents,
    Mask,
    Nats,
    Params,
    Shapes,
    StageParams,
    Views,
)

AUTOENCODERS = "autoencoders"

WEIGHTINGS = ("noise", "velocity")
"""w = 1, or 1/a²: what is squared is the error of ξ, or that of a ξ − √v z."""


@dataclasses.dataclass(frozen=True)
class MldSettings:
    """The codes of MLD, their diffusion, and how it is drawn from."""

    latent_dims: tuple[int, ...] = option(
        (),
        "D_m of each view's code, names in sorted order; empty: `model.latent_dim` of "
        "each.",
        at_least=1,
    )
    conditioning_probability: float = option(
        1.0,
        "d: share of training rows for which the given subset is drawn; for the others "
        "it is empty.",
        between=(0, 1),
    )
    weighting: str = option(
        "velocity",
        'Errors that count alike at every time: those of the "noise", as published, or '
        'of the "velocity", in which noisy times count.',
        one_of=WEIGHTINGS,
    )
    hidden_size: int = option(256, "Width of the residual MLP.", at_least=1)
    num_layers: int = option(3, "Residual layers of it.", at_least=1)
    beta_min: float = option(0.1, "β(0).", above=0)
    beta_max: float = option(20.0, "β(1).", above=0)
    num_steps: int = option(
        250,
        "Steps of the sampler; any number may be drawn with.",
        at_least=1,
        of_identity=False,
    )

    def cross_faults(self, field: str) -> list[str]:
        """β grows."""
        return order_faults(field, self.beta_min, self.beta_max)


STAGES = (AUTOENCODERS, "joint")
SECTIONS = {"mld": MldSettings}


def faults(*, model: ModelSettings, mld: MldSettings, **others: Any) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    found = aggregation_faults("mld", "a diffusion", model=model, **others)
    why = "the law of its codes is learnt, and this prior is that of no part of it"
    return found + standard_normal_faults("mld", why, model)


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    mld: MldSettings,
) -> Method:
    """MLD for modalities of ``shapes``; it has neither flows nor chains.

    Raises:
        ValueError: ``mld.latent_dims`` is not one for each modality.
    """
    del flow, sampler
    names = sorted(shapes)
    dims = mld.latent_dims or (model.latent_dim,) * len(names)
    if len(dims) != len(names):
        raise ValueError(
            f"`mld.latent_dims` is {dims}, expected one for each of {names}, or none"
        )
    encoders = tuple(
        Projector(build_trunk(model.network(m), model.compute_dtype), size)
        for m, size in zip(names, dims, strict=True)
    )
    autoencoders = Autoencoders(build_views(shapes, model), encoders)
    diffusion = LatentDiffusion(tuple(zip(names, dims, strict=True)), mld)
    first = Stage(
        AUTOENCODERS,
        autoencoders.init,
        autoencoders.loss,
        has_convolutions=model.has_convolutions(shapes),
    )
    second = Stage(
        "joint",
        diffusion.init,
        diffusion.loss,
        needs=(AUTOENCODERS,),
        settings=("mld",),
        cache=autoencoders.cached_codes,
        prepare=diffusion.normalisation,
        has_convolutions=False,
    )
    return Method((first, second), MldInference(diffusion, autoencoders))


Codes = Mapping[str, Float[Array, "batch _"]]
"""{m: z_m f32[B, D_m]}."""


@dataclasses.dataclass(frozen=True)
class Autoencoders:
    """e_m: x_m -> z_m and p(x_m|z_m) of every modality; hashable.

    Parameters {"encoders": {m}, "decoders": {m}}. No view has parameters of another.

    Attributes:
        views: Modalities in sorted order.
        encoders: One a view, f32[B, *shape] -> f32[B, D_m].
    """

    views: tuple[View, ...]
    encoders: tuple[Network, ...]

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; shapes come from ``views``."""
        params = {"encoders": {}, "decoders": {}}
        keys = jax.random.split(rng_key, len(self.views))
        for view, encoder, key in zip(self.views, self.encoders, keys, strict=True):
            encoder_key, decoder_key = jax.random.split(key)
            z, own = encoder.init_with_output(encoder_key, jnp.zeros((1, *view.shape)))
            params["encoders"][view.name] = own["params"]
            params["decoders"][view.name] = view.init(decoder_key, z)
        return params

    def encode(self, params: Params, views: Views) -> dict[str, jax.Array]:
        """{m: z_m f32[B, D_m]} of the views that there are."""
        return {
            view.name: _encode(encoder, params["encoders"][view.name], views[view.name])
            for view, encoder in zip(self.views, self.encoders, strict=True)
            if view.name in views
        }

    def decode(self, params: Params, codes: Codes) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z_m)}."""
        decoders = params["decoders"]
        return {v.name: v.decode(decoders[v.name], codes[v.name]) for v in self.views}

    def loss(
        self, params: Params, frozen: Any, rng_key: jax.Array, batch: Batch
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """−Σ_m mean λ_m log p(x_m|e_m(x_m)), nats: as many problems as there are views,
        which share a step."""
        del frozen, rng_key
        views, present = batch.views, batch.present
        if present is not None:
            views = hide_absent(views, present)
        decoded = self.decode(params, self.encode(params, views))
        loss, metrics = 0.0, {}
        for view in self.views:
            m = view.name
            log_likelihood = decoded[m].log_prob(views[m])
            if present is not None:
                log_likelihood = jnp.where(present[m], log_likelihood, 0.0)
            loss -= view.weight * jnp.mean(log_likelihood)
            metrics[f"log_likelihood/{m}"] = mean_where_present(
                log_likelihood, m, present
            )
        return loss, metrics

    def cached_codes(
        self, params: StageParams, views: Views, present: Mask | None = None
    ) -> dict[str, Any]:
        """The frozen codes, and which of them a row has: all that the diffusion reads
        of a view."""
        if present is None:
            present = {v.name: jnp.ones(len(views[v.name]), bool) for v in self.views}
        codes = self.encode(params[AUTOENCODERS], hide_absent(views, present))
        return {"codes": codes, "present": dict(present)}


@functools.partial(jax.jit, static_argnums=0)
def _encode(encoder: Network, params: Params, x: jax.Array) -> jax.Array:
    return encoder.apply({"params": params}, x)


@dataclasses.dataclass(frozen=True)
class LatentDiffusion:
    """The joint law of all codes, by its scores; hashable, static under jit.

    Parameters {"network", "mean" f32[D], "scale" f32[D]}, D = Σ D_m: the network sees
    (z − mean)/scale, whose moments are those of the training set and are not learnt. ::

        ŝ(z_τ, τ) = −( √v(τ) z_τ + a(τ) F(z_τ, τ) ),    F ≈ a ξ − √v z_0

    F = 0 is the score of N(0, I).

    Attributes:
        sizes: (m, D_m), sorted.
        settings: The network, its noise, how it learns and is drawn from.
    """

    sizes: tuple[tuple[str, int], ...]
    settings: MldSettings

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return tuple(m for m, _ in self.sizes)

    @property
    def latent_size(self) -> int:
        """D, of all codes together."""
        return sum(size for _, size in self.sizes)

    @property
    def schedule(self) -> NoiseSchedule:
        """β."""
        return NoiseSchedule(self.settings.beta_min, self.settings.beta_max)

    @property
    def network(self) -> ScoreNetwork:
        """F."""
        return ScoreNetwork(self.settings.hidden_size, self.settings.num_layers)

    def init(self, rng_key: jax.Array) -> Params:
        """Parameters of F, which starts at 0, and no normalisation yet."""
        z, t = jnp.zeros((1, self.latent_size)), jnp.zeros((1, len(self.sizes)))
        network = self.network.init(rng_key, z, t)["params"]
        return {"network": network, "mean": z[0], "scale": jnp.ones_like(z[0])}

    def normalisation(self, cached: dict[str, Any]) -> Params:
        """Mean and standard deviation of each number of the codes that there are.

        One that is the same in every row stays as it is.
        """
        mean, scale = [], []
        for m in self.modalities:
            has = np.asarray(cached["present"][m])
            z = np.asarray(cached["codes"][m], np.float64)[has]
            spread = z.std(axis=0) if len(z) else np.zeros(z.shape[1:])
            mean.append(z.mean(axis=0) if len(z) else spread)
            scale.append(np.where(spread > 0, spread, 1.0))
        found = {"mean": np.concatenate(mean), "scale": np.concatenate(scale)}
        return {name: jnp.asarray(x, jnp.float32) for name, x in found.items()}

    def split(self, z: Latents) -> dict[str, jax.Array]:
        """{m: f32[*B, D_m]} of all codes side by side."""
        return split(z, dict(self.sizes))

    def scaled_score(self, params: Params, z: Codes, t: Views) -> dict[str, jax.Array]:
        """ŝ of the network's parameters, at normalised codes and their times."""
        time = jnp.stack([t[m] for m in self.modalities], axis=-1)
        velocity = self.split(self.network.apply({"params": params}, join(z), time))
        found = {}
        for m in self.modalities:
            signal, noise = self.schedule.signal(t[m]), self.schedule.noise(t[m])
            found[m] = -(noise[:, None] * z[m] + signal[:, None] * velocity[m])
        return found

    def loss(
        self, params: Params, frozen: None, rng_key: jax.Array, batch: Batch
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Mean ``multi_time_denoising_loss`` of the cached codes, normalised."""
        del frozen
        moments = jax.lax.stop_gradient((params["mean"], params["scale"]))
        mean, scale = map(self.split, moments)
        codes = batch.cached["codes"]
        is_plain = self.settings.weighting == "noise"
        loss = multi_time_denoising_loss(
            params["network"],
            rng_key,
            {m: (z - mean[m]) / scale[m] for m, z in codes.items()},
            scaled_score=self.scaled_score,
            schedule=self.schedule,
            conditioning_probability=self.settings.conditioning_probability,
            weight=jnp.ones_like if is_plain else self._velocity_weight,
            present=batch.cached["present"],
        )
        return jnp.mean(loss), {}

    def _velocity_weight(self, t: Nats) -> Nats:
        return self.schedule.signal(t) ** -2

    def draw(
        self,
        params: Params,
        rng_key: jax.Array,
        codes: Latents,
        given: Bool[Array, " modalities"],
    ) -> Latents:
        """z ~ p(z | z_m of the given m), f32[B, D].

        Args:
            params: Of the stage.
            rng_key: Typed key.
            codes: f32[B, D]; those of views that are not given may hold anything.
            given: Which modalities are, bool[M], in sorted order.
        """
        mean, scale = params["mean"], params["scale"]
        drawn = draw_given(
            rng_key,
            self.split((codes - mean) / scale),
            {m: given[i] for i, m in enumerate(self.modalities)},
            scaled_score=functools.partial(self.scaled_score, params["network"]),
            schedule=self.schedule,
            num_steps=self.settings.num_steps,
        )
        return mean + scale * join(drawn)


def draw_given(
    rng_key: jax.Array,
    codes: Codes,
    given: Mask,
    *,
    scaled_score: Callable[[Views, Views], Views],
    schedule: NoiseSchedule,
    num_steps: int,
) -> dict[str, jax.Array]:
    """{m: z_m}: given codes as they are, all others drawn given these.

    The sampler is that of ``DiffusionPrior``, on a score that shows the network the
    clean codes of given views, at time 0, in place of what the sampler makes of them.

    Args:
        rng_key: Typed key.
        codes: {m: f32[B, D_m]}, normalised; those that are not given may hold anything.
        given: {m: bool[]}, for all rows.
        scaled_score: ŝ, as ``losses.MultiTimeScore`` without parameters.
        schedule: β.
        num_steps: Steps of the reverse SDE.
    """
    sizes = {m: z.shape[-1] for m, z in codes.items()}

    def score(z: jax.Array, t: jax.Array) -> jax.Array:
        parts, noise = split(z, sizes), schedule.noise(t)[:, None]
        shown = {m: jnp.where(given[m], codes[m], parts[m]) for m in sizes}
        found = scaled_score(shown, {m: jnp.where(given[m], 0.0, t) for m in sizes})
        # Where nobody reads it, the score of N(0, I), with which nothing overflows.
        for m in sizes:
            found[m] = jnp.where(given[m], -noise * parts[m], found[m])
        return join(found)

    sampler = DiffusionPrior(score, sum(sizes.values()), schedule, num_steps)
    drawn = split(sampler.sample(rng_key, len(next(iter(codes.values())))), sizes)
    return {m: jnp.where(given[m], z, drawn[m]) for m, z in codes.items()}


@dataclasses.dataclass(frozen=True)
class CodesPrior(BoundPrior):
    """p(z) of all codes: draws of the diffusion with nothing given, and no density."""

    diffusion: LatentDiffusion
    params: Params
    is_normalised: ClassVar[bool] = False

    def log_density(self, z: Latents) -> Nats:
        """Always raises ValueError: a diffusion gives draws alone."""
        raise ValueError(
            "the diffusion of 'mld' has no log density, got a call of `log_density`; "
            "expected `sample`"
        )

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` draws."""
        nothing = jnp.zeros((num_samples, self.diffusion.latent_size))
        given = jnp.zeros(len(self.diffusion.sizes), bool)
        return self.diffusion.draw(self.params, rng_key, nothing, given)


@dataclasses.dataclass(frozen=True)
class MldInference(ModelInference):
    """Inference by encoding what is given and drawing the codes of the rest; z is all
    codes side by side, f32[B, D]."""

    joint: LatentDiffusion
    autoencoders: Autoencoders

    @property
    def prior_names(self) -> tuple[str, ...]:
        """The diffusion with nothing given."""
        return ("diffusion",)

    def prior_of(self, params: StageParams, name: str) -> CodesPrior:
        """p(z)."""
        check_prior_name(name, self.prior_names)
        return CodesPrior(self.joint, params["joint"])

    def decode(self, params: StageParams, z: Latents) -> dict[str, Any]:
        """{m: p(x_m|z_m)}."""
        return self.autoencoders.decode(params[AUTOENCODERS], self.joint.split(z))

    def infer(
        self, params, rng_key, views, subset, step_size=None
    ) -> tuple[Latents, None]:
        """z: codes of the given views, and draws of all others given these."""
        del step_size
        check_subset(subset, self.modalities)
        given = {m: views[m] for m in subset}
        codes = self.autoencoders.encode(params[AUTOENCODERS], given)
        batch = next(iter(codes.values())).shape[:-1]
        blank = {m: jnp.zeros((*batch, size)) for m, size in self.joint.sizes}
        z = join(blank | codes)
        if len(subset) == len(self.modalities):
            return z, None
        mask = jnp.array([m in subset for m in self.modalities])
        return self._draw(params["joint"], rng_key, z, mask), None

    @functools.partial(jax.jit, static_argnums=0)
    def _draw(self, params, rng_key: jax.Array, z: Latents, given: jax.Array):
        """Compiled once for all subsets."""
        return self.joint.draw(params, rng_key, z, given)
