"""A VAE whose posterior is made of unimodal ones: MVAE, MMVAE, mmJSD, MoPoE, MVTCAE.

They have one model, an encoder and a decoder a modality, and differ in two functions:
the objective, and what q(z|x_S) is made of. Whatever S is, q(z|x_S) is a mixture of
known densities: draws are exact, no chain runs, and log q(z|x_S) is known.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from jnf_jax.aggregation import (
    Experts,
    choose,
    experts_of,
    mixture_log_prob,
    stack,
    take,
)
from jnf_jax.losses import AggregateModel, MixtureTerms
from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.joint_inference import ModelInference
from jnf_jax.methods.joint_vae import View, build_views, drawn_loss, without_own_prior
from jnf_jax.methods.method import (
    Batch,
    Method,
    Proposal,
    check_subset,
    propose_from,
)
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.settings import ModelSettings
from jnf_jax.networks.build import build_trunk
from jnf_jax.networks.gaussian import GaussianEncoder
from jnf_jax.priors.family import PriorFamily
from jnf_jax.stage import Stage
from jnf_jax.types import (
    GaussianCode,
    Latents,
    Mask,
    Nats,
    Params,
    Prior,
    Shapes,
    StageParams,
    Subset,
    Views,
)

FAMILIES = {
    "normal": distrax.MultivariateNormalDiag,
    "laplace": lambda mean, scale: distrax.Independent(distrax.Laplace(mean, scale), 1),
}
"""Kind of the experts -> (mean, scale) -> the distribution, events [D]."""


@dataclasses.dataclass(frozen=True)
class AggregatedVAE:
    """Experts q_m(z|x_m), decoders p(x_m|z), prior p(z); hashable.

    Parameters {"experts": {m}, "decoders": {m}}, and "prior" where that has any.

    Attributes:
        views: Modalities in sorted order.
        encoders: One a view.
        prior: p(z).
        objective: The method's, as ``losses.mopoe``.
        components: ``(experts of S, M) -> experts``: those whose even mixture is
            q(z|x_S).
        options: (name, value) of what the method's objective takes beside λ and β.
        takes_log_ratio: Whether it also takes how log q − log p is estimated.
        family: The kind of the experts, a key of ``FAMILIES``.
        beta: β.
    """

    views: tuple[View, ...]
    encoders: tuple[GaussianEncoder, ...]
    prior: PriorFamily
    objective: Callable[..., MixtureTerms]
    components: Callable[[Experts, int], Experts]
    options: tuple[tuple[str, Any], ...] = ()
    takes_log_ratio: bool = False
    family: str = "normal"
    beta: float = 1.0

    @property
    def latent_size(self) -> int:
        """D."""
        return self.encoders[0].latent_size

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return tuple(view.name for view in self.views)

    @property
    def model(self) -> AggregateModel:
        """Its apply-functions, as the losses take them."""
        family = FAMILIES[self.family]
        return AggregateModel(self.code, self.decode, self.prior_of, family)

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; shapes come from ``views``."""
        *keys, prior_key = jax.random.split(rng_key, len(self.views) + 1)
        shapes = {view.name: view.shape for view in self.views}
        prior = self.prior.init(prior_key, self.latent_size, shapes)
        params, z = {"experts": {}, "decoders": {}}, jnp.zeros((1, self.latent_size))
        for view, encoder, key in zip(self.views, self.encoders, keys, strict=True):
            encoder_key, decoder_key = jax.random.split(key)
            m, x = view.name, jnp.zeros((1, *view.shape))
            params["experts"][m] = encoder.init(encoder_key, x)["params"]
            params["decoders"][m] = view.init(decoder_key, z)
        return params | ({"prior": prior} if prior else {})

    def init_memory(self, rng_key: jax.Array) -> tuple[jax.Array, ...]:
        """The prior's own, which ``loss`` hands from step to step."""
        return self.prior.init_memory(rng_key, self.latent_size)

    def code(self, params: Params, views: Views) -> dict[str, GaussianCode]:
        """{m: mean and scale of q_m(z|x_m)}."""
        return {
            m: encoder.apply({"params": params["experts"][m]}, views[m])
            for m, encoder in zip(self.modalities, self.encoders, strict=True)
        }

    def decode(self, params: Params, z: Latents) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z)}."""
        decoders = params["decoders"]
        return {v.name: v.decode(decoders[v.name], z) for v in self.views}

    def prior_of(self, params: Params) -> Prior:
        """p(z); one that is made of posteriors has all components of each q(z|X)."""

        def encode(views: Views) -> GaussianCode:
            parts = self.aggregate(tuple(self.code(params, views).values()))
            every = (leaf.reshape(-1, self.latent_size) for leaf in parts[:2])
            return GaussianCode(*every)

        return self.prior.bind(params.get("prior", {}), self.latent_size, encode)

    def aggregate(self, codes: tuple[GaussianCode, ...]) -> Experts:
        """The components of q(z|x_S), from what is said of each view of S."""
        present = jnp.ones((len(codes), *codes[0].mean.shape[:-1]), bool)
        return self.components(experts_of(codes, present), len(self.views))

    def draw(self, rng_key: jax.Array, components: Experts) -> Latents:
        """z ~ q(z|x_S), one a row: a draw of one of its components."""
        choice_key, draw_key = jax.random.split(rng_key)
        mean, scale, present = components
        chosen = choose(choice_key, present)
        posterior = FAMILIES[self.family](take(mean, chosen), take(scale, chosen))
        return posterior.sample(seed=draw_key)

    def cached_posterior(
        self, params: StageParams, views: Views, present: Mask | None = None
    ) -> dict[str, jax.Array]:
        """All that later stages need of z: the frozen experts f32[B, M, D], and which
        of them a row has, bool[B, M]."""
        codes = self.code(params["joint"], views)
        if present is None:
            present = {m: jnp.ones(len(code.mean), bool) for m, code in codes.items()}
        experts = stack(codes, present)._asdict()
        return {name: jnp.moveaxis(leaf, 0, 1) for name, leaf in experts.items()}

    def draw_cached(self, rng_key: jax.Array, cached: dict[str, jax.Array]) -> Latents:
        """z ~ q(z|X) from what ``cached_posterior`` kept of it."""
        experts = {name: jnp.moveaxis(leaf, 1, 0) for name, leaf in cached.items()}
        return self.draw(rng_key, self.components(Experts(**experts), len(self.views)))

    def loss(self, params, frozen, rng_key, batch: Batch, *memory) -> tuple:
        """As a ``Stage`` has it: see ``drawn_loss``."""
        of_rest = without_own_prior(self.prior, params)
        options = dict(self.options)
        if self.takes_log_ratio:
            options["log_ratio"] = self.prior.log_ratio
        terms = self.objective(
            of_rest,
            rng_key,
            batch.views,
            model=self.model,
            likelihood_weights={view.name: view.weight for view in self.views},
            beta=self.beta,
            present=batch.present,
            **options,
        )
        return drawn_loss(self.prior, params, rng_key, terms, batch.present, *memory)


@dataclasses.dataclass(frozen=True)
class AggregatedInference(ModelInference):
    """Inference with parameters ``params["joint"]``; static under jit."""

    joint: AggregatedVAE

    def infer(
        self, params, rng_key, views, subset, step_size=None
    ) -> tuple[Latents, None]:
        """z ~ q(z|x_S), f32[B, D]; no sampler ran."""
        del step_size
        return self._draw(rng_key, self._codes(params, views, subset)), None

    def propose(self, params, rng_key, views, subset, num_samples) -> Proposal:
        """Draws of q(z|x_S), whatever S is, beside the prior."""
        parts = self.joint.aggregate(self._codes(params, views, subset))
        family = FAMILIES[self.joint.family]
        posteriors = [family(*part) for part in zip(*parts[:2], strict=True)]
        prior = self.joint.prior_of(params["joint"])
        return propose_from(posteriors, prior, rng_key, num_samples)

    def joint_log_prob(self, params, views, z: Latents) -> Nats:
        """log q(z|X); nats."""
        return self._log_prob(self._codes(params, views, self.modalities), z)

    def unimodal_log_probs(self, params, views, z: Latents) -> dict[str, Nats]:
        """{m: log q(z|x_m)}; nats."""
        each = {m: self._codes(params, views, (m,)) for m in self.modalities}
        return {m: self._log_prob(codes, z) for m, codes in each.items()}

    def subset_log_prob(
        self, params: StageParams, views: Views, subset: Subset, z: Latents
    ) -> Nats | None:
        """log q(z|x_S) of any S, nats.

        q(z|x_∅) is the prior: None where its log Z is not known.
        """
        if subset:
            return self._log_prob(self._codes(params, views, subset), z)
        prior = self.joint.prior_of(params["joint"])
        return prior.log_density(z) if prior.is_normalised else None

    def _codes(self, params, views, subset: Subset) -> tuple[GaussianCode, ...]:
        """What is said of each given modality, in sorted order."""
        check_subset(subset, self.modalities)
        experts = params["joint"]["experts"]
        return tuple(
            _encode(encoder, experts[m], views[m])
            for m, encoder in zip(self.modalities, self.joint.encoders, strict=True)
            if m in subset
        )

    # What follows is compiled, for each |S|, not each subset: codes have no names.

    @functools.partial(jax.jit, static_argnums=0)
    def _draw(self, rng_key: jax.Array, codes: tuple[GaussianCode, ...]) -> Latents:
        return self.joint.draw(rng_key, self.joint.aggregate(codes))

    @functools.partial(jax.jit, static_argnums=0)
    def _log_prob(self, codes: tuple[GaussianCode, ...], z: Latents) -> Nats:
        mean, scale, present = self.joint.aggregate(codes)
        family = FAMILIES[self.joint.family]
        each = [family(*part).log_prob(z) for part in zip(mean, scale, strict=True)]
        return mixture_log_prob(jnp.stack(each), present)


@functools.partial(jax.jit, static_argnums=0)
def _encode(encoder: GaussianEncoder, params: Params, x: jax.Array) -> GaussianCode:
    return encoder.apply({"params": params}, x)


def as_it_is(experts: Experts, num_modalities: int) -> Experts:
    """The components of a mixture of experts: the experts."""
    del num_modalities
    return experts


def build_aggregated(
    shapes: Shapes,
    model: ModelSettings,
    *,
    objective: Callable[..., MixtureTerms],
    components: Callable[[Experts, int], Experts],
    options: Mapping[str, Any] = MappingProxyType({}),
    takes_log_ratio: bool = False,
    sections: tuple[str, ...] = (),
    family: str = "normal",
    scale: str = "exp",
) -> Method:
    """A method of one stage for modalities of ``shapes``.

    Args:
        shapes: {modality: event shape}.
        model: Networks, likelihoods, prior, β.
        objective: As ``AggregatedVAE`` has it; likewise the next three.
        components: What q(z|x_S) is made of.
        options: Of the objective.
        takes_log_ratio: Whether it takes one.
        sections: The config's sections that these are.
        family: The kind of the experts.
        scale: How encoders give scales, a key of ``networks.gaussian.SCALES``.
    """
    encoders = tuple(
        GaussianEncoder(
            build_trunk(model.network(m), model.compute_dtype),
            model.latent_dim,
            scale=scale,
        )
        for m in sorted(shapes)
    )
    vae = AggregatedVAE(
        build_views(shapes, model),
        encoders,
        model.prior,
        objective,
        components,
        tuple(sorted(options.items())),
        takes_log_ratio,
        family,
        model.beta,
    )
    stage = Stage(
        "joint",
        vae.init,
        vae.loss,
        settings=sections,
        init_memory=vae.init_memory,
        watch=vae.prior.watch,
        has_convolutions=model.has_convolutions(shapes),
    )
    return Method((stage,), AggregatedInference(vae))


def aggregation_faults(
    name: str,
    infers_by: str,
    *,
    model: ModelSettings,
    quotient: Quotient,
    denoiser: DenoiserSettings | None,
    family: str = "normal",
) -> list[str]:
    """Faults of settings of a method that has experts and no joint encoder.

    Args:
        name: The method's.
        infers_by: What it infers subsets by, in words.
        model: Its prior has to be of the kind of the experts.
        quotient: Nothing is divided.
        denoiser: There is none.
        family: The kind of the experts.
    """
    found = model.prior.faults_beside(family, "model.prior")
    for field, default in dataclasses.asdict(Quotient()).items():
        if (got := getattr(quotient, field)) != default:
            found.append(
                f"`sampler.{field}` is {got!r}, expected {default!r}: {name!r} infers "
                f"by {infers_by} and divides by nothing"
            )
    if denoiser:
        found.append(
            f"`denoiser` is not for {name!r}, expected a method with a joint encoder: "
            "'jnf', 'jnf_shared' or 'jmvae'"
        )
    return found


def standard_normal_faults(name: str, why: str, model: ModelSettings) -> list[str]:
    """The fault of a prior that is not N(0, I), if it is none; ``why`` in words."""
    if model.prior.is_standard_normal:
        return []
    return [
        f"`model.prior.name` is {model.prior.name!r}, expected 'normal' with method "
        f"{name!r}: {why}"
    ]
