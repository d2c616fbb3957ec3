"""MMVAE+ (Palumbo, Daunhawer, Vogt, ICLR 2023): shared and private latents.

One stage. Any subset, the full set too, is inferred as the mixture of its experts; what
is generated from it gets its private latent from p(w), not from the auxiliary priors of
the training. Without private latents it is MMVAE (arXiv 1911.03393), with a learnt
mixture as prior CMVAE (Palumbo et al., ICLR 2024), with an energy-based one the family
that arXiv 2409.19862 is believed to build on.
"""

import dataclasses
import functools

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.losses import Latent
from jnf_jax.methods.diffusion_decoder import DenoiserSettings
from jnf_jax.methods.fitted_prior import bind_whitened
from jnf_jax.methods.joint_vae import build_views
from jnf_jax.methods.method import (
    Method,
    Proposal,
    check_prior_name,
    check_subset,
    propose_from,
)
from jnf_jax.methods.mixture_vae import (
    ExpertCode,
    ExpertEncoder,
    MixtureVAE,
    stack_codes,
)
from jnf_jax.methods.product import Quotient
from jnf_jax.methods.settings import (
    FlowSettings,
    ModelSettings,
    Shapes,
)
from jnf_jax.networks.build import build_trunk
from jnf_jax.networks.gaussian import SCALES, GaussianEncoder
from jnf_jax.options import option
from jnf_jax.priors.family import PriorFamily
from jnf_jax.priors.learnable_scale import KINDS
from jnf_jax.sampling import ChainSettings
from jnf_jax.stage import Stage
from jnf_jax.types import Params, Prior, StageParams, Subset, Views


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
    found = model.prior.faults_beside(experts.family, "model.prior")
    for field, default in dataclasses.asdict(Quotient()).items():
        if (got := getattr(quotient, field)) != default:
            found.append(
                f"`sampler.{field}` is {got!r}, expected {default!r}: 'mmvae_plus' "
                "infers by a mixture and divides by nothing"
            )
    if denoiser:
        found.append(
            "`denoiser` is not for 'mmvae_plus', expected a method with a joint "
            "encoder: 'jnf', 'jnf_shared' or 'jmvae'"
        )
    return found


def build(
    shapes: Shapes,
    *,
    model: ModelSettings,
    flow: FlowSettings,
    sampler: ChainSettings,
    experts: ExpertSettings,
) -> Method:
    """MMVAE+ for modalities of ``shapes``.

    Args:
        shapes: {modality: event shape}.
        model: Networks, likelihoods and the prior of z.
        flow: Unused: experts are Gaussian or Laplace.
        sampler: Unused: no chain runs.
        experts: Posteriors and private latents, and K of the bound.
    """
    del flow, sampler

    def encoder(m: str, size: int) -> GaussianEncoder:
        trunk = build_trunk(model.network(m), model.compute_dtype)
        return GaussianEncoder(trunk, size, scale=experts.scale)

    private = experts.private_dim
    mixture = MixtureVAE(
        build_views(shapes, model),
        tuple(
            ExpertEncoder(
                encoder(m, model.latent_dim), encoder(m, private) if private else None
            )
            for m in sorted(shapes)
        ),
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


@dataclasses.dataclass(frozen=True)
class MixtureInference:
    """Inference of a mixture of experts; hashable, static under jit.

    Attributes:
        joint: The mixture; its parameters are ``params["joint"]``.
        fitted: Family of a prior that stage ``prior`` fitted afterwards, if any.
    """

    joint: MixtureVAE
    fitted: PriorFamily | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return self.joint.modalities

    @property
    def prior_names(self) -> tuple[str, ...]:
        """The model's own prior, and "<name>_after" of one fitted afterwards."""
        own = self.joint.prior.name
        return (own, f"{self.fitted.name}_after") if self.fitted else (own,)

    def infer(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: None = None,
    ) -> tuple[Latent, None]:
        """One latent per datum: z of one expert of ``subset``, drawn uniformly.

        Given modalities get w_m ~ q_m(w|x_m), the others w_m ~ p(w).

        Args:
            params: Parameters by stage.
            rng_key: Typed key.
            views: {m: f32[B, ...]}; those of ``subset`` are read.
            subset: Names of the given modalities.
            step_size: None: no chain runs.

        Returns:
            Latent, and None.

        Raises:
            ValueError: ``subset`` is empty or has an unknown or repeated name.
        """
        del step_size
        check_subset(subset, self.modalities)
        given = tuple(m for m in self.modalities if m in subset)
        experts = params["joint"]["experts"]
        codes = tuple(
            _encode(encoder, experts[m], views[m])
            for m, encoder in zip(self.modalities, self.joint.encoders, strict=True)
            if m in subset
        )
        shared, own, missing = self._draw(rng_key, codes)
        missing = dict(
            zip([m for m in self.modalities if m not in subset], missing, strict=True)
        )
        return Latent(shared, missing | dict(zip(given, own, strict=True))), None

    def propose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        num_samples: int,
    ) -> Proposal:
        """Draws of the mixture of S and of each given w_m, beside p(z) Π p(w_m).

        ::

            log p(z) − log (1/|S|) Σ_{m∈S} q_m(z|x_m)
              + Σ_{m∈S} log p(w_m) − log q_m(w_m|x_m)

        The others' w_m come from p(w), as in ``infer``, and cancel.
        """
        check_subset(subset, self.modalities)
        joint, mixture = params["joint"], self.joint
        key, *keys = jax.random.split(rng_key, len(self.modalities) + 1)
        shared, private = [], {}
        log_ratio = jnp.zeros((num_samples, len(views[subset[0]])))
        for m, encoder, own_key in zip(
            self.modalities, mixture.encoders, keys, strict=True
        ):
            size = log_ratio.shape
            if m not in subset:
                drawn = mixture.private_prior.sample(own_key, size[0] * size[1])
                private[m] = drawn.reshape(*size, mixture.private_size)
                continue
            code = _encode(encoder, joint["experts"][m], views[m])
            shared.append(mixture.posterior(code.shared))
            own = [mixture.posterior(code.private)]
            private[m], ratio = propose_from(
                own, mixture.private_prior, own_key, num_samples
            )
            log_ratio += ratio
        z, ratio = propose_from(shared, mixture.prior_of(joint), key, num_samples)
        return Proposal(Latent(z, private), log_ratio + ratio)

    def adapt(
        self, params: StageParams, rng_key: jax.Array, views: Views, subset: Subset
    ) -> None:
        """None: no sampler runs."""

    def diagnose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: None,
    ) -> None:
        """None: draws are exact."""

    def joint_log_prob(
        self, params: StageParams, views: Views, z: Latent
    ) -> Float[Array, " batch"]:
        """log (1/M) Σ_m q_m(z|x_m), of the shared latent; nats."""
        log_probs = jnp.stack([*self.unimodal_log_probs(params, views, z).values()])
        return jax.nn.logmeanexp(log_probs, axis=0)

    def unimodal_log_probs(
        self, params: StageParams, views: Views, z: Latent
    ) -> dict[str, Float[Array, " batch"]]:
        """{m: log q_m(z|x_m)} of every expert; nats."""
        experts = self.joint.encode(params["joint"], views)
        return {m: q.shared.log_prob(z.shared) for m, q in experts.items()}

    def decode(self, params: StageParams, z: Latent) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z, w_m)}."""
        return self.joint.decode(params["joint"], z)

    def sample_prior(
        self,
        params: StageParams,
        rng_key: jax.Array,
        num_samples: int,
        name: str | None = None,
    ) -> Latent:
        """z from the prior of that name in ``prior_names``, and each w_m ~ p(w).

        Raises:
            ValueError: If there is none of that name.
        """
        name = check_prior_name(name, self.prior_names)
        needed = {s: params[s] for s in ("joint", "prior") if s in params}
        return self._draw_prior(needed, rng_key, num_samples, name)

    def prior_of(self, params: StageParams, name: str) -> Prior:
        """p(z) of that name in ``prior_names``."""
        if name == self.prior_names[0]:
            return self.joint.prior_of(params["joint"])
        return bind_whitened(self.fitted, params["prior"], self.joint.latent_size)

    # What follows is compiled, for each |S|, not each subset: codes have no names.

    @functools.partial(jax.jit, static_argnums=(0, 3, 4))
    def _draw_prior(self, params, rng_key: jax.Array, num_samples: int, name: str):
        shared_key, *keys = jax.random.split(rng_key, len(self.modalities) + 1)
        draw = self.joint.private_prior.sample
        return Latent(
            self.prior_of(params, name).sample(shared_key, num_samples),
            {
                m: draw(key, num_samples)
                for m, key in zip(self.modalities, keys, strict=True)
            },
        )

    @functools.partial(jax.jit, static_argnums=0)
    def _draw(self, rng_key: jax.Array, codes: tuple[ExpertCode, ...]):
        """z, (w_m of given modalities), (w_m of all others)."""
        shared_key, *keys = jax.random.split(rng_key, len(self.modalities) + 1)
        shared = stack_codes([code.shared for code in codes])
        num_data = len(shared["mean"])
        return (
            self.joint.draw_cached(shared_key, shared),
            tuple(
                self.joint.posterior(code.private).sample(seed=key)
                for code, key in zip(codes, keys, strict=False)
            ),
            tuple(
                self.joint.private_prior.sample(key, num_data)
                for key in keys[len(codes) :]
            ),
        )


@functools.partial(jax.jit, static_argnums=0)
def _encode(encoder: ExpertEncoder, params: Params, x: jax.Array) -> ExpertCode:
    return encoder.encode(params, x)
