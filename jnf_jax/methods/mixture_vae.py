"""The mixture of experts of MMVAE+: q_m(z|x_m), q_m(w|x_m), p(x_m|z, w_m), its loss."""

import dataclasses
import zlib
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import Expert, Latent, MixtureModel, MixtureTerms, mmvae_plus
from jnf_jax.methods.joint_vae import View
from jnf_jax.networks.gaussian import GaussianEncoder
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.learnable_scale import KINDS, LearnableScaleFamily
from jnf_jax.types import GaussianCode, Params, Prior, StageParams, Views


class ExpertCode(NamedTuple):
    """All that the latents need of one modality; the private one is f32[B, D_w]."""

    shared: GaussianCode
    private: GaussianCode


@dataclasses.dataclass(frozen=True)
class ExpertEncoder:
    """Encoders of one modality, a trunk for each latent; None: no private latent.

    Parameters {"shared", "private"}.
    """

    shared: GaussianEncoder
    private: GaussianEncoder | None

    def init(self, rng_key: jax.Array, x: jax.Array) -> Params:
        """Fresh parameters for views like x."""
        keys = jax.random.split(rng_key)
        encoders = {"shared": self.shared, "private": self.private}
        return {
            name: encoder.init(key, x)["params"]
            for (name, encoder), key in zip(encoders.items(), keys, strict=True)
            if encoder
        }

    def encode(self, params: Params, x: jax.Array) -> ExpertCode:
        """Mean and scale of z and of w_m, from x_m f32[B, ...]."""
        shared = self.shared.apply({"params": params["shared"]}, x)
        if self.private is None:
            nothing = jnp.zeros((len(x), 0))
            return ExpertCode(shared, GaussianCode(nothing, nothing))
        private = self.private.apply({"params": params["private"]}, x)
        return ExpertCode(shared, private)


@dataclasses.dataclass(frozen=True)
class MixtureVAE:
    """Experts, decoders, priors.

    Parameters {"experts": {m}, "decoders": {m}}; "auxiliary": {m} where there are
    private latents; and "prior" where that has any.

    Attributes:
        views: Modalities in sorted order; decoders take (z, w_m), f32[B, D + D_w].
        encoders: One a view.
        prior: p(z).
        family: Of the posteriors, of p(w_m) and of r_m: a key of ``KINDS``.
        beta: β.
        num_importance_samples: K.
    """

    views: tuple[View, ...]
    encoders: tuple[ExpertEncoder, ...]
    prior: PriorFamily
    family: str = "laplace"
    beta: float = 1.0
    num_importance_samples: int = 1

    @property
    def latent_size(self) -> int:
        """D, of z."""
        return self.encoders[0].shared.latent_size

    @property
    def private_size(self) -> int:
        """D_w, of each w_m; may be 0."""
        private = self.encoders[0].private
        return private.latent_size if private else 0

    @property
    def private_prior(self) -> Prior:
        """p(w_m), of scale 1."""
        return KINDS[self.family](self.private_size)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return tuple(view.name for view in self.views)

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; shapes come from ``views``."""
        *keys, prior_key = jax.random.split(rng_key, len(self.views) + 1)
        shapes = {view.name: view.shape for view in self.views}
        prior = self.prior.init(prior_key, self.latent_size, shapes)
        latent = jnp.zeros((1, self.latent_size + self.private_size))
        params = {"experts": {}, "decoders": {}, "auxiliary": {}}
        for view, encoder, key in zip(self.views, self.encoders, keys, strict=True):
            encoder_key, decoder_key, scale_key = jax.random.split(key, 3)
            x = jnp.zeros((1, *view.shape))
            params["experts"][view.name] = encoder.init(encoder_key, x)
            params["decoders"][view.name] = view.decoder.init(decoder_key, latent)[
                "params"
            ]
            params["auxiliary"][view.name] = LearnableScaleFamily().init(
                scale_key, self.private_size, shapes
            )
        if not self.private_size:
            del params["auxiliary"]
        return params | ({"prior": prior} if prior else {})

    def init_memory(self, rng_key: jax.Array) -> tuple[jax.Array, ...]:
        """The prior's own, which ``loss`` hands from step to step."""
        return self.prior.init_memory(rng_key, self.latent_size)

    def code(self, params: Params, views: Views) -> dict[str, ExpertCode]:
        """{m: means and scales of q_m(z|x_m) and q_m(w|x_m)}."""
        return {
            view.name: encoder.encode(params["experts"][view.name], views[view.name])
            for view, encoder in zip(self.views, self.encoders, strict=True)
        }

    def posterior(self, code: GaussianCode) -> distrax.Distribution:
        """The posterior of that mean and scale; events [D]."""
        if self.family == "normal":
            return distrax.MultivariateNormalDiag(code.mean, code.scale)
        return distrax.Independent(distrax.Laplace(code.mean, code.scale), 1)

    def encode(self, params: Params, views: Views) -> dict[str, Expert]:
        """{m: q_m(z|x_m) and q_m(w|x_m)}."""
        return {
            m: Expert(self.posterior(code.shared), self.posterior(code.private))
            for m, code in self.code(params, views).items()
        }

    def decode(self, params: Params, latent: Latent) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z, w_m)}."""
        return {
            view.name: view.decode(
                params["decoders"][view.name],
                jnp.concatenate([latent.shared, latent.private[view.name]], axis=-1),
            )
            for view in self.views
        }

    def prior_of(self, params: Params) -> Prior:
        """p(z)."""

        def encode(views: Views) -> GaussianCode:
            codes = [code.shared for code in self.code(params, views).values()]
            return GaussianCode(
                jnp.concatenate([code.mean for code in codes]),
                jnp.concatenate([code.scale for code in codes]),
                None,
            )

        return self.prior.bind(params.get("prior", {}), self.latent_size, encode)

    def auxiliary_priors(self, params: Params) -> dict[str, Prior]:
        """{m: r_m(w_m)}."""
        if not self.private_size:
            return dict.fromkeys(self.modalities, self.private_prior)
        family = LearnableScaleFamily(kind=self.family)
        return {
            m: family.bind(params["auxiliary"][m], self.private_size)
            for m in self.modalities
        }

    def cached_posterior(
        self, params: StageParams, views: Views
    ) -> dict[str, Float[Array, "batch experts latent"]]:
        """Means and scales of the frozen experts: all that later stages need of z."""
        codes = self.code(params["joint"], views)
        return stack_codes([codes[m].shared for m in self.modalities])

    def draw_cached(
        self,
        rng_key: jax.Array,
        cached: dict[str, Float[Array, "batch experts latent"]],
    ) -> Float[Array, "batch latent"]:
        """z ~ (1/S) Σ_m q_m(z|x_m): for each datum a draw of one expert out of S."""
        choice_key, draw_key = jax.random.split(rng_key)
        num_data, num_experts, _ = cached["mean"].shape
        choice = jax.random.randint(choice_key, (num_data,), 0, num_experts)
        mean, scale = (
            cached[name][jnp.arange(num_data), choice] for name in ("mean", "scale")
        )
        return self.posterior(GaussianCode(mean, scale)).sample(seed=draw_key)

    def objective(
        self, params: Params, rng_key: jax.Array, views: Views
    ) -> MixtureTerms:
        """``mmvae_plus`` with this model's λ, β and K.

        A prior that learns apart gets no gradient from here; where that is an energy,
        the objective misses its log Z.
        """
        if self.prior.learns_apart:
            params = {**params, "prior": jax.lax.stop_gradient(params["prior"])}
        return mmvae_plus(
            params,
            rng_key,
            views,
            model=MixtureModel(
                self.encode,
                self.decode,
                self.prior_of,
                self.private_prior,
                self.auxiliary_priors,
            ),
            num_importance_samples=self.num_importance_samples,
            likelihood_weights={view.name: view.weight for view in self.views},
            beta=self.beta,
        )

    def loss(
        self,
        params: Params,
        frozen: None,
        rng_key: jax.Array,
        batch: Any,
        *memory: jax.Array,
    ) -> tuple:
        """−mean objective over ``batch.views``, and the mean of each of its terms.

        To it is added the own loss of a prior that learns apart, at the objective's
        draws of every expert, with the weights that they have in it. ``memory`` is that
        prior's, returned as further results.
        """
        del frozen
        terms = self.objective(params, rng_key, batch.views)
        metrics = {
            f"log_likelihood/{m}": jnp.mean(v) for m, v in terms.log_likelihood.items()
        }
        metrics["kl"] = jnp.mean(terms.log_ratio)
        loss = -jnp.mean(terms.objective)
        if not self.prior.learns_apart:
            return loss, metrics
        prior_loss, watched, *memory = self.prior.loss(
            params["prior"],
            # Not a key that the objective splits off for itself.
            jax.random.fold_in(rng_key, zlib.crc32(b"chains")),
            terms.z.reshape(-1, self.latent_size),
            *memory,
            weights=terms.weights.reshape(-1) / terms.weights.shape[-1],
        )
        return loss + prior_loss, metrics | watched, *memory


def stack_codes(
    codes: list[GaussianCode],
) -> dict[str, Float[Array, "batch experts latent"]]:
    """Means and scales of several experts, as ``MixtureVAE.draw_cached`` takes them."""
    return {
        name: jnp.stack([getattr(code, name) for code in codes], axis=1)
        for name in ("mean", "scale")
    }
