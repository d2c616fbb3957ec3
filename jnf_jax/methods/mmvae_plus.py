"""MMVAE+ (Palumbo, Daunhawer, Vogt, ICLR 2023): shared and private latents.

One stage. Any subset, the full set too, is inferred as the mixture of its experts; what
is generated from it gets its private latent from p(w), not from the auxiliary priors of
the training. Without private latents it is MMVAE (arXiv 1911.03393), with a learnt
mixture as prior CMVAE (Palumbo et al., ICLR 2024), with an energy-based one the family
that arXiv 2409.19862 is believed to build on.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.aggregation import choose
from jnf_jax.losses import Expert, Latent, MixtureModel, hide_absent, mmvae_plus
from jnf_jax.methods.aggregated import FAMILIES, aggregation_faults
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
from jnf_jax.methods.settings import FlowSettings, ModelSettings
from jnf_jax.networks.build import build_trunk
from jnf_jax.networks.gaussian import SCALES, GaussianEncoder
from jnf_jax.options import option
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.learnable_scale import KINDS, LearnableScaleFamily
from jnf_jax.sampling import ChainSettings
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


@dataclasses.dataclass(frozen=True)
class ExpertSettings:
    """The mixture of experts of MMVAE+, and its bound; other methods ignore them."""

    private_dim: int = option(
        32, "D_w, of each modality's private latent; 0: none, as in MMVAE.", at_least=0
    )
    family: str = option(
        "laplace", 'Posteriors and private priors, "laplace" or "normal".', one_of=KINDS
    )
    scale: str = option(
        "softmax",
        'How encoders give scales: "softmax", averaging to one, or "exp".',
        one_of=SCALES,
    )
    num_importance_samples: int = option(1, "Draws of the bound, K.", at_least=1)


STAGES = ("joint",)
SECTIONS = {"experts": ExpertSettings}


def faults(
    *,
    model: ModelSettings,
    quotient: Quotient,
    denoiser: DenoiserSettings | None,
    experts: ExpertSettings,
) -> list[str]:
    """Faults of settings that are good by themselves, one line each."""
    return aggregation_faults(
        "mmvae_plus",
        "a mixture",
        model=model,
        quotient=quotient,
        denoiser=denoiser,
        family=experts.family,
    )


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    experts: ExpertSettings,
) -> Method:
    """MMVAE+ for modalities of ``shapes``; it has neither flows nor chains."""

    def encoder(m: str, size: int) -> GaussianEncoder:
        trunk = build_trunk(model.network(m), model.compute_dtype)
        return GaussianEncoder(trunk, size, scale=experts.scale)

    private = experts.private_dim
    encoders = tuple(
        ExpertEncoder(
            encoder(m, model.latent_dim), encoder(m, private) if private else None
        )
        for m in sorted(shapes)
    )
    mixture = MixtureVAE(
        build_views(shapes, model),
        encoders,
        model.prior,
        experts.family,
        model.beta,
        experts.num_importance_samples,
    )
    stage = Stage(
        "joint",
        mixture.init,
        mixture.loss,
        settings=("experts",),
        init_memory=mixture.init_memory,
        watch=mixture.prior.watch,
        has_convolutions=model.has_convolutions(shapes),
    )
    return Method((stage,), MixtureInference(mixture))


Codes = Float[Array, "batch experts latent"]


class ExpertCode(NamedTuple):
    """Means and scales of z, f32[B, D], and of w_m, f32[B, D_w], from one modality."""

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
        shared_key, private_key = jax.random.split(rng_key)
        params = {"shared": self.shared.init(shared_key, x)["params"]}
        if self.private:
            params["private"] = self.private.init(private_key, x)["params"]
        return params

    def encode(self, params: Params, x: jax.Array) -> ExpertCode:
        """Mean and scale of z and of w_m, from x_m f32[B, ...]."""
        shared = self.shared.apply({"params": params["shared"]}, x)
        if self.private is None:
            nothing = jnp.zeros((len(x), 0))
            return ExpertCode(shared, GaussianCode(nothing, nothing))
        return ExpertCode(shared, self.private.apply({"params": params["private"]}, x))


@dataclasses.dataclass(frozen=True)
class MixtureVAE:
    """Experts q_m(z|x_m) q_m(w|x_m), decoders p(x_m|z, w_m), priors.

    Parameters {"experts": {m}, "decoders": {m}}; "auxiliary": {m} where there are
    private latents; and "prior" where that has any.

    Attributes:
        views: Modalities in sorted order; decoders take (z, w_m), f32[B, D + D_w].
        encoders: One a view.
        prior: p(z).
        family: The kind of the posteriors, of p(w_m) and of r_m: a key of ``KINDS``.
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
            m, x = view.name, jnp.zeros((1, *view.shape))
            params["experts"][m] = encoder.init(encoder_key, x)
            params["decoders"][m] = view.init(decoder_key, latent)
            scales = LearnableScaleFamily().init(scale_key, self.private_size, shapes)
            params["auxiliary"][m] = scales
        if not self.private_size:
            del params["auxiliary"]
        return params | ({"prior": prior} if prior else {})

    def init_memory(self, rng_key: jax.Array) -> tuple[jax.Array, ...]:
        """The prior's own, which ``loss`` hands from step to step."""
        return self.prior.init_memory(rng_key, self.latent_size)

    def code(self, params: Params, views: Views) -> dict[str, ExpertCode]:
        """{m: means and scales of q_m(z|x_m) and q_m(w|x_m)}."""
        return {
            m: encoder.encode(params["experts"][m], views[m])
            for m, encoder in zip(self.modalities, self.encoders, strict=True)
        }

    def posterior(self, code: GaussianCode) -> distrax.Distribution:
        """The posterior of that mean and scale; events [D]."""
        return FAMILIES[self.family](code.mean, code.scale)

    def encode(self, params: Params, views: Views) -> dict[str, Expert]:
        """{m: q_m(z|x_m) and q_m(w|x_m)}."""
        return {
            m: Expert(self.posterior(code.shared), self.posterior(code.private))
            for m, code in self.code(params, views).items()
        }

    def decode(self, params: Params, latent: Latent) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z, w_m)}."""

        def both(m: str) -> jax.Array:
            return jnp.concatenate([latent.shared, latent.private[m]], axis=-1)

        decoders = params["decoders"]
        return {v.name: v.decode(decoders[v.name], both(v.name)) for v in self.views}

    def prior_of(self, params: Params) -> Prior:
        """p(z)."""

        def encode(views: Views) -> GaussianCode:
            codes = [code.shared for code in self.code(params, views).values()]
            return GaussianCode(
                jnp.concatenate([code.mean for code in codes]),
                jnp.concatenate([code.scale for code in codes]),
            )

        return self.prior.bind(params.get("prior", {}), self.latent_size, encode)

    def auxiliary_priors(self, params: Params) -> dict[str, Prior]:
        """{m: r_m(w_m)}."""
        size, family = self.private_size, LearnableScaleFamily(kind=self.family)
        if not size:
            return dict.fromkeys(self.modalities, self.private_prior)
        return {m: family.bind(params["auxiliary"][m], size) for m in self.modalities}

    def cached_posterior(
        self, params: StageParams, views: Views, present: Mask | None = None
    ) -> dict[str, jax.Array]:
        """Means and scales of the frozen experts, and which of them a row has, if not
        all: all that later stages need of z."""
        if present is None:
            return _stacked(list(self.code(params["joint"], views).values()))
        codes = self.code(params["joint"], hide_absent(views, present))
        has = jnp.stack([present[m] for m in self.modalities], axis=1)
        return {**_stacked(list(codes.values())), "present": has}

    def draw_cached(self, rng_key: jax.Array, cached: dict[str, jax.Array]) -> Latents:
        """z ~ (1/S) Σ_m q_m(z|x_m): for each datum a draw of one expert out of S."""
        choice_key, draw_key = jax.random.split(rng_key)
        num_data, num_experts, _ = cached["mean"].shape
        if "present" in cached:
            choice = choose(choice_key, jnp.moveaxis(cached["present"], 1, 0))
        else:
            choice = jax.random.randint(choice_key, (num_data,), 0, num_experts)
        mean, scale = (
            cached[name][jnp.arange(num_data), choice] for name in ("mean", "scale")
        )
        return self.posterior(GaussianCode(mean, scale)).sample(seed=draw_key)

    @property
    def model(self) -> MixtureModel:
        """Its apply-functions, as the loss takes them."""
        apply = self.encode, self.decode, self.prior_of
        return MixtureModel(*apply, self.private_prior, self.auxiliary_priors)

    def objective(
        self,
        params: Params,
        rng_key: jax.Array,
        views: Views,
        present: Mask | None = None,
    ):
        """``mmvae_plus`` with this model's λ, β and K, as ``MixtureTerms``.

        A prior that learns apart gets no gradient from here; where that is an energy,
        the objective misses its log Z.
        """
        return mmvae_plus(
            without_own_prior(self.prior, params),
            rng_key,
            views,
            model=self.model,
            num_importance_samples=self.num_importance_samples,
            likelihood_weights={view.name: view.weight for view in self.views},
            beta=self.beta,
            present=present,
        )

    def loss(self, params, frozen, rng_key, batch: Batch, *memory) -> tuple:
        """As a ``Stage`` has it: see ``drawn_loss``."""
        terms = self.objective(params, rng_key, batch.views, batch.present)
        return drawn_loss(self.prior, params, rng_key, terms, batch.present, *memory)


def _stacked(codes: Sequence[ExpertCode]) -> dict[str, Codes]:
    """Means and scales of z, as ``MixtureVAE.draw_cached`` takes them."""
    return {
        name: jnp.stack([getattr(code.shared, name) for code in codes], axis=1)
        for name in ("mean", "scale")
    }


@dataclasses.dataclass(frozen=True)
class MixtureInference(ModelInference):
    """Inference of a mixture of experts, with parameters ``params["joint"]``; static
    under jit. No chain runs: draws are exact."""

    joint: MixtureVAE

    def infer(
        self, params, rng_key, views, subset, step_size=None
    ) -> tuple[Latent, None]:
        """One latent per datum: z of one expert of ``subset``, drawn uniformly.

        Given modalities get w_m ~ q_m(w|x_m), the others w_m ~ p(w).
        """
        codes = self._codes(params, views, subset)
        others = [m for m in self.modalities if m not in codes]
        shared, *private = self._draw(rng_key, tuple(codes.values()))
        return Latent(shared, dict(zip([*others, *codes], private, strict=True))), None

    def propose(self, params, rng_key, views, subset, num_samples) -> Proposal:
        """Draws of the mixture of S and of each given w_m, beside p(z) Π p(w_m).

        ::

            log p(z) − log (1/|S|) Σ_{m∈S} q_m(z|x_m)
              + Σ_{m∈S} log p(w_m) − log q_m(w_m|x_m)

        The others' w_m come from p(w), as in ``infer``, and cancel.
        """
        codes, mixture = self._codes(params, views, subset), self.joint
        key, *keys = jax.random.split(rng_key, len(self.modalities) + 1)
        prior, private = mixture.private_prior, {}
        log_ratio = jnp.zeros((num_samples, len(views[subset[0]])))
        for m, own_key in zip(self.modalities, keys, strict=True):
            if m in codes:
                own = [mixture.posterior(codes[m].private)]
                private[m], ratio = propose_from(own, prior, own_key, num_samples)
                log_ratio += ratio
            else:
                drawn = prior.sample(own_key, log_ratio.size)
                private[m] = drawn.reshape(*log_ratio.shape, mixture.private_size)
        shared = [mixture.posterior(code.shared) for code in codes.values()]
        own_prior = mixture.prior_of(params["joint"])
        z, ratio = propose_from(shared, own_prior, key, num_samples)
        return Proposal(Latent(z, private), log_ratio + ratio)

    def joint_log_prob(self, params, views, z: Latent) -> Nats:
        """log (1/M) Σ_m q_m(z|x_m), of the shared latent; nats."""
        log_probs = jnp.stack([*self.unimodal_log_probs(params, views, z).values()])
        return jax.nn.logmeanexp(log_probs, axis=0)

    def unimodal_log_probs(self, params, views, z: Latent) -> dict[str, Nats]:
        """{m: log q_m(z|x_m)} of every expert; nats."""
        experts = self.joint.encode(params["joint"], views)
        return {m: q.shared.log_prob(z.shared) for m, q in experts.items()}

    def _codes(self, params, views, subset: Subset) -> dict[str, ExpertCode]:
        """The codes of the given modalities, in sorted order."""
        check_subset(subset, self.modalities)
        experts = params["joint"]["experts"]
        return {
            m: _encode(encoder, experts[m], views[m])
            for m, encoder in zip(self.modalities, self.joint.encoders, strict=True)
            if m in subset
        }

    # What follows is compiled, for each |S|, not each subset: codes have no names.

    @functools.partial(jax.jit, static_argnums=(0, 3, 4))
    def _draw_prior(self, params, rng_key: jax.Array, num_samples: int, name: str):
        """z from the prior of that name, and each w_m ~ p(w)."""
        shared_key, *keys = jax.random.split(rng_key, len(self.modalities) + 1)
        z = self.prior_of(params, name).sample(shared_key, num_samples)
        draws = [self.joint.private_prior.sample(key, num_samples) for key in keys]
        return Latent(z, dict(zip(self.modalities, draws, strict=True)))

    @functools.partial(jax.jit, static_argnums=0)
    def _draw(self, rng_key: jax.Array, codes: tuple[ExpertCode, ...]):
        """z; w_m of all others; w_m of given modalities."""
        shared_key, *keys = jax.random.split(rng_key, len(self.modalities) + 1)
        shared = _stacked(codes)
        num_data, prior = len(shared["mean"]), self.joint.private_prior
        given = zip(codes, keys[: len(codes)], strict=True)
        return (
            self.joint.draw_cached(shared_key, shared),
            *(prior.sample(key, num_data) for key in keys[len(codes) :]),
            *(self.joint.posterior(c.private).sample(seed=key) for c, key in given),
        )


@functools.partial(jax.jit, static_argnums=0)
def _encode(encoder: ExpertEncoder, params: Params, x: jax.Array) -> ExpertCode:
    return encoder.encode(params, x)
