"""The joint VAE that JNF and JMVAE share: q(z|X), p(x_m|z), p(z), and its loss."""

import dataclasses
from typing import Any

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.likelihoods import LIKELIHOODS
from jnf_jax.losses import JointModel, gaussian_kl, joint_elbo
from jnf_jax.networks.build import Network
from jnf_jax.networks.gaussian import GaussianCode, JointEncoder
from jnf_jax.priors.normal import NormalPrior
from jnf_jax.types import ObjectiveTerms, Params, Views


@dataclasses.dataclass(frozen=True)
class View:
    """One modality of a joint VAE.

    Attributes:
        name: Modality name.
        shape: Event shape, without the batch.
        decoder: f32[B, D] -> f32[B, *shape].
        likelihood: A name in ``LIKELIHOODS``.
        scale: Of the likelihood (b or s), where it has one.
        weight: λ_m in the training objective.
    """

    name: str
    shape: tuple[int, ...]
    decoder: Network
    likelihood: str
    scale: float
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class JointVAE:
    """Joint encoder, decoders, prior; parameters {"encoder", "decoders": {m}}."""

    encoder: JointEncoder
    views: tuple[View, ...]
    prior: NormalPrior
    beta: float = 1.0

    @property
    def model(self) -> JointModel:
        """Its apply-functions, as the losses take them."""
        return JointModel(self.encode, self.decode, self.prior_of)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return tuple(sorted(view.name for view in self.views))

    def init(self, rng_key: jax.Array) -> Params:
        """Fresh parameters; shapes come from ``views``."""
        keys = jax.random.split(rng_key, len(self.views) + 1)
        blank = {view.name: jnp.zeros((1, *view.shape)) for view in self.views}
        z = jnp.zeros((1, self.prior.latent_size))
        return {
            "encoder": self.encoder.init(keys[0], blank)["params"],
            "decoders": {
                view.name: view.decoder.init(key, z)["params"]
                for view, key in zip(self.views, keys[1:], strict=True)
            },
        }

    def code(self, params: Params, views: Views) -> GaussianCode:
        """Mean and scale of q(z|X), f32[B, D] each."""
        return self.encoder.apply({"params": params["encoder"]}, dict(views))

    def encode(self, params: Params, views: Views) -> distrax.MultivariateNormalDiag:
        """q(z|X)."""
        code = self.code(params, views)
        return distrax.MultivariateNormalDiag(code.mean, code.scale)

    def decode(
        self, params: Params, z: Float[Array, "batch latent"]
    ) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z)}; the mean of each is the picture to show."""
        return {
            view.name: LIKELIHOODS[view.likelihood](
                view.decoder.apply({"params": params["decoders"][view.name]}, z),
                view.scale,
            )
            for view in self.views
        }

    def prior_of(self, params: Params) -> NormalPrior:
        """p(z)."""
        del params
        return self.prior

    def objective(
        self, params: Params, rng_key: jax.Array, views: Views
    ) -> ObjectiveTerms:
        """``joint_elbo`` with this model's λ, β and the noise-free Gaussian KL."""
        weights = {view.name: view.weight for view in self.views}
        return joint_elbo(
            params,
            rng_key,
            views,
            model=self.model,
            likelihood_weights=weights,
            beta=self.beta,
            log_ratio=gaussian_kl,
        )

    def loss(
        self, params: Params, frozen: None, rng_key: jax.Array, batch: Any
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """−mean objective over ``batch.views``, and the mean of each of its terms."""
        del frozen
        terms = self.objective(params, rng_key, batch.views)
        metrics = {
            f"log_likelihood/{m}": jnp.mean(v) for m, v in terms.log_likelihood.items()
        }
        return -jnp.mean(terms.objective), {**metrics, "kl": jnp.mean(terms.log_ratio)}
