"""The joint VAE that JNF and JMVAE share: q(z|X), p(x_m|z), p(z), and its loss."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import distrax
import jax
import jax.numpy as jnp

from jnf_jax.likelihoods import LIKELIHOODS, OfKnownEntries, scale_shape
from jnf_jax.losses import JointModel, MixtureTerms, hide_absent, joint_elbo
from jnf_jax.methods.method import Batch
from jnf_jax.methods.settings import ModelSettings
from jnf_jax.networks.build import Network, build_decoder, build_trunk
from jnf_jax.networks.gaussian import JointEncoder
from jnf_jax.priors.family import PriorFamily
from jnf_jax.types import (
    COVARIATES,
    GaussianCode,
    Latents,
    Mask,
    Nats,
    ObjectiveTerms,
    Params,
    Prior,
    Shapes,
    StageParams,
    Views,
)


@dataclasses.dataclass(frozen=True)
class View:
    """One modality and how it is decoded, from f32[B, D] to f32[B, *shape].

    Attributes:
        likelihood: A name in ``LIKELIHOODS``.
        scale: Its b or s, where it has one; with ``learns_scale`` where that starts.
        weight: λ_m in the training objective.
        learns_scale: Whether the parameters have "log_scale" f32[C] beside the
            decoder's, over the last axis of the event.
        partial_entries: Whether x_m may be NaN where entries are missing: log p(x_m|z)
            is then that of the others.
        options: Those of ``likelihoods.OPTIONS``, by name.
    """

    name: str
    shape: tuple[int, ...]
    decoder: Network
    likelihood: str
    scale: float
    weight: float = 1.0
    learns_scale: bool = False
    partial_entries: bool = False
    options: tuple[tuple[str, float | int], ...] = ()

    def init(self, rng_key: jax.Array, z: Latents) -> Params:
        """Fresh parameters of decoder and likelihood; ``z`` gives its shape alone."""
        params = self.decoder.init(rng_key, z)["params"]
        if not self.learns_scale:
            return params
        num_classes = dict(self.options).get("num_classes", 0)
        shape = scale_shape(self.likelihood, self.shape[-1], num_classes)
        log_scale = jnp.full(shape, jnp.log(self.scale))
        return {**params, "log_scale": log_scale}

    def decode(self, params: Params, z: Latents) -> distrax.Distribution:
        """p(x_m|z) with these parameters; its mean is the picture to show."""
        params, scale = dict(params), self.scale
        if self.learns_scale:
            # A floor: the likelihood of a feature that is constant has no maximum.
            log_scale = params.pop("log_scale")
            scale = jnp.exp(jnp.maximum(log_scale, jnp.log(self.scale / 100)))
        output = self.decoder.apply({"params": params}, z)
        likelihood = LIKELIHOODS[self.likelihood]
        distribution = likelihood(output, scale, **dict(self.options))
        return OfKnownEntries(distribution) if self.partial_entries else distribution


@dataclasses.dataclass(frozen=True)
class JointVAE:
    """Joint encoder, decoders, prior.

    Parameters {"encoder", "decoders": {m}}, and "prior" where that has any. Where rows
    come with covariates c it is q(z|X, c), p(x_m|z, c) and p(z), which has none: z need
    not tell what c tells. c f32[B, K] is ``views[COVARIATES]`` to an encoder.
    """

    encoder: JointEncoder
    views: tuple[View, ...]
    prior: PriorFamily
    beta: float = 1.0

    @property
    def latent_size(self) -> int:
        """D."""
        return self.encoder.latent_size

    @property
    def num_covariates(self) -> int:
        """K; 0 where there are none."""
        return self.encoder.num_covariates

    @property
    def model(self) -> JointModel:
        """Its apply-functions, as the losses take them."""
        return JointModel(self.encode, self.decode, self.prior_of)

    def model_given(self, covariates: jax.Array) -> JointModel:
        """``model`` given c f32[B, K] of the rows: functions of views and z alone."""

        def encode(params, views, present=None):
            return self.encode(params, {**views, COVARIATES: covariates}, present)

        def decode(params, z):
            return self.decode(params, z, covariates)

        return JointModel(encode, decode, self.prior_of)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return tuple(sorted(view.name for view in self.views))

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; shapes come from ``views``."""
        *keys, prior_key = jax.random.split(rng_key, len(self.views) + 2)
        shapes = {view.name: view.shape for view in self.views}
        prior = self.prior.init(prior_key, self.latent_size, shapes)
        blank = {view.name: jnp.zeros((1, *view.shape)) for view in self.views}
        if self.num_covariates:
            blank[COVARIATES] = jnp.zeros((1, self.num_covariates))
        z = jnp.zeros((1, self.latent_size + self.num_covariates))
        return {
            "encoder": self.encoder.init(keys[0], blank)["params"],
            "decoders": {
                view.name: view.init(key, z)
                for view, key in zip(self.views, keys[1:], strict=True)
            },
            **({"prior": prior} if prior else {}),
        }

    def init_memory(self, rng_key: jax.Array) -> tuple[jax.Array, ...]:
        """The prior's own, which ``loss`` hands from step to step."""
        return self.prior.init_memory(rng_key, self.latent_size)

    def code(
        self, params: Params, views: Views, present: Mask | None = None
    ) -> GaussianCode:
        """Mean and scale of q(z|X), f32[B, D] each; see ``JointEncoder``."""
        return self.encoder.apply({"params": params["encoder"]}, dict(views), present)

    def features(self, params: Params, views: Views) -> dict[str, jax.Array]:
        """{m: f32[B, H]}, the encoder's heads: all that q(z|X) reads of each view."""
        variables = {"params": params["encoder"]}
        return self.encoder.apply(variables, dict(views), method="features")

    def cached_posterior(
        self, params: StageParams, views: Views, present: Mask | None = None
    ) -> dict[str, Latents]:
        """Mean and scale of the frozen q(z|X): all that later stages need of it."""
        code = self.code(params["joint"], views, present)
        return {"mean": code.mean, "scale": code.scale}

    def draw_cached(self, rng_key: jax.Array, cached: dict[str, Latents]) -> Latents:
        """z ~ q(z|X) from what ``cached_posterior`` kept of it."""
        noise = jax.random.normal(rng_key, cached["mean"].shape)
        return cached["mean"] + cached["scale"] * noise

    def encode(
        self, params: Params, views: Views, present: Mask | None = None
    ) -> distrax.MultivariateNormalDiag:
        """q(z|X), or q(z|x_O) where the views O are ``present``.

        What stands in the place of others is not read, even NaN.
        """
        if present is not None:
            shown = hide_absent({m: views[m] for m in present}, present)
            views = {**views, **shown}
        code = self.code(params, views, present)
        return distrax.MultivariateNormalDiag(code.mean, code.scale)

    def decode(
        self, params: Params, z: Latents, covariates: jax.Array | None = None
    ) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z)}, or p(x_m|z, c): decoders read c behind z."""
        decoders = params["decoders"]
        if covariates is not None:
            z = jnp.concatenate([z, covariates], axis=-1)
        return {v.name: v.decode(decoders[v.name], z) for v in self.views}

    def prior_of(self, params: Params) -> Prior:
        """p(z)."""
        own = params.get("prior", {})
        # The encoder of rows with covariates cannot read a prior's tuples, without any.
        encode = None if self.num_covariates else lambda x: self.code(params, x)
        return self.prior.bind(own, self.latent_size, encode)

    def objective(
        self,
        params: Params,
        rng_key: jax.Array,
        views: Views,
        present: Mask | None = None,
        posterior: distrax.Distribution | None = None,
    ) -> ObjectiveTerms:
        """``joint_elbo`` with this model's λ and β.

        The KL is free of sampling noise as far as the prior is Gaussian. A prior that
        learns apart gets no gradient from here; where that is an energy, the objective
        misses its log Z. ``posterior`` is q(z|X) where the caller has it already:
        encoded again, it would be differentiated again.
        """
        model, views = self.model, dict(views)
        if self.num_covariates:
            model = self.model_given(views.pop(COVARIATES))
        if posterior is not None:
            model = dataclasses.replace(model, encode=lambda *_: posterior)
        return joint_elbo(
            without_own_prior(self.prior, params),
            rng_key,
            views,
            model=model,
            likelihood_weights={view.name: view.weight for view in self.views},
            beta=self.beta,
            log_ratio=self.prior.log_ratio,
            present=present,
        )

    def loss(
        self,
        params,
        frozen,
        rng_key,
        batch: Batch,
        *memory,
        posterior: distrax.Distribution | None = None,
    ) -> tuple:
        """``stage_loss``, as a ``Stage`` has it; ``posterior`` as in ``objective``."""
        if posterior is None:
            posterior = self.encode(params, batch.views, batch.present)

        def prior_loss() -> tuple:
            # The draw that the objective takes as well.
            z = posterior.sample(seed=rng_key)
            key = jax.random.fold_in(rng_key, 1)
            return self.prior.loss(params["prior"], key, z, *memory)

        terms = self.objective(params, rng_key, batch.views, batch.present, posterior)
        own_loss = prior_loss if self.prior.learns_apart else None
        return stage_loss(terms, own_loss, batch.present)


def without_own_prior(prior: PriorFamily, params: Params) -> Params:
    """Stops the gradient of a prior that learns apart."""
    if not prior.learns_apart:
        return params
    return {**params, "prior": jax.lax.stop_gradient(params["prior"])}


def stage_loss(
    terms: Any, prior_loss: Callable[[], tuple] | None, present: Mask | None = None
) -> tuple:
    """−mean objective and the mean of each of its terms, over the rows that have it.

    To them is added the own loss of a prior that learns apart, with what it watches;
    its memory is returned as further results.
    """
    loss = -jnp.mean(terms.objective)
    metrics = {
        f"log_likelihood/{m}": mean_where_present(v, m, present)
        for m, v in terms.log_likelihood.items()
    }
    metrics["kl"] = jnp.mean(terms.log_ratio)
    if prior_loss is None:
        return loss, metrics
    own, watched, *memory = prior_loss()
    return loss + own, metrics | watched, *memory


def drawn_loss(
    prior: PriorFamily,
    params: Params,
    rng_key: jax.Array,
    terms: MixtureTerms,
    present: Mask | None,
    *memory: jax.Array,
) -> tuple:
    """``stage_loss`` of an objective whose draws are known.

    A prior that learns apart does so at these draws, with the weights that they have in
    the objective.
    """

    def prior_loss() -> tuple:
        # Not a key that the objective splits off for itself.
        key = jax.random.fold_in(rng_key, zlib.crc32(b"chains"))
        z = terms.z.reshape(-1, terms.z.shape[-1])
        weights = terms.weights.reshape(-1) / terms.weights.shape[-1]
        return prior.loss(params["prior"], key, z, *memory, weights=weights)

    return stage_loss(terms, prior_loss if prior.learns_apart else None, present)


def mean_where_present(x: Nats, m: str, present: Mask | None) -> jax.Array:
    """Mean over the rows that have view m of what is 0 in all others; 0 of no rows."""
    if present is None:
        return jnp.mean(x)
    return jnp.sum(x) / jnp.maximum(jnp.sum(present[m]), 1)


def posterior_from_cache(frozen: Any, batch: Any) -> distrax.MultivariateNormalDiag:
    """q(z|X) from what ``JointVAE.cached_posterior`` kept of it; reads no pixel."""
    del frozen
    return distrax.MultivariateNormalDiag(batch.cached["mean"], batch.cached["scale"])


def build_views(shapes: Shapes, model: ModelSettings) -> tuple[View, ...]:
    """One view a modality, in sorted order."""
    views = []
    for m, shape in sorted(shapes.items()):
        network, p = model.network(m), model.likelihood(m)
        decoder = build_decoder(network, tuple(shape), model.compute_dtype)
        own = (p.name, p.scale, model.weight(m, shapes), p.learns_scale)
        own = (*own, network.partial_entries, p.options)
        views.append(View(m, tuple(shape), decoder, *own))
    return tuple(views)


def build_joint_vae(shapes: Shapes, model: ModelSettings) -> JointVAE:
    """The joint VAE of modalities of ``shapes``."""
    encoder = JointEncoder(
        heads=tuple(
            (m, build_trunk(model.network(m), model.compute_dtype))
            for m in sorted(shapes)
        ),
        hidden_sizes=model.joint_hidden_sizes,
        latent_size=model.latent_dim,
        head_size=model.head_size or model.latent_dim,
        dtype=model.compute_dtype,
        takes_partial=model.partial_rows,
        linear_path=model.linear_path,
        num_covariates=model.num_covariates,
    )
    return JointVAE(encoder, build_views(shapes, model), model.prior, model.beta)
