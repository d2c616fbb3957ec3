"""Inference of a model, as far as it does not depend on how subsets are inferred."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import distrax
import jax
from jaxtyping import Array, Float

from jnf_jax.methods.fitted_prior import bind_whitened
from jnf_jax.methods.joint_vae import JointVAE
from jnf_jax.methods.method import (
    Proposal,
    check_prior_name,
    check_subset,
    propose_from,
)
from jnf_jax.priors.family import PriorFamily
from jnf_jax.sampling import ChainDiagnostics
from jnf_jax.types import Latents, Nats, Params, Prior, StageParams, Subset, Views


@dataclasses.dataclass(frozen=True)
class ModelInference:
    """The part of ``methods.Inference`` that all models share; hashable.

    Attributes:
        joint: The model of stage ``joint``; parameters ``params["joint"]``.
        fitted: Family of a prior that stage ``prior`` fitted afterwards, if any.
    """

    joint: Any
    fitted: PriorFamily | None = dataclasses.field(default=None, kw_only=True)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names, sorted."""
        return self.joint.modalities

    @property
    def prior_names(self) -> tuple[str, ...]:
        """The model's own prior, and "<name>_after" of one fitted afterwards."""
        own = self.joint.prior.name
        return (own, f"{self.fitted.name}_after") if self.fitted else (own,)

    def adapt(
        self, params: StageParams, rng_key: jax.Array, views: Views, subset: Subset
    ) -> Float[Array, ""] | None:
        """None: no sampler runs."""

    def diagnose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: Float[Array, ""] | None,
    ) -> ChainDiagnostics | None:
        """None: there is no chain."""

    def decode(self, params: StageParams, z: Any) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z)}."""
        return self.joint.decode(params["joint"], z)

    def sample_prior(
        self,
        params: StageParams,
        rng_key: jax.Array,
        num_samples: int,
        name: str | None = None,
    ) -> Any:
        """z from the prior of that name in ``prior_names``; None: the model's own."""
        name = check_prior_name(name, self.prior_names)
        stages = ("joint", "prior", "subsets")
        needed = {stage: params[stage] for stage in stages if stage in params}
        return self._draw_prior(needed, rng_key, num_samples, name)

    def prior_of(self, params: StageParams, name: str) -> Prior:
        """The prior of that name in ``prior_names``."""
        if name == self.prior_names[0]:
            return self.joint.prior_of(params["joint"])
        return bind_whitened(self.fitted, params["prior"], self.joint.latent_size)

    @functools.partial(jax.jit, static_argnums=(0, 3, 4))
    def _draw_prior(self, params, rng_key: jax.Array, num_samples: int, name: str):
        return self.prior_of(params, name).sample(rng_key, num_samples)


@dataclasses.dataclass(frozen=True)
class JointInference(ModelInference):
    """Inference of a ``JointVAE``: its encoder gives q(z|X).

    Whoever inherits it has ``posteriors``, the densities q_1, …, q_J whose mixture
    proposes z given a proper subset.
    """

    joint: JointVAE
    posteriors: ClassVar[
        Callable[[Any, StageParams, Views, Subset], list[distrax.Distribution]]
    ]

    def propose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        num_samples: int,
    ) -> Proposal:
        """Draws of q(z|X), or of the mixture of ``posteriors``, beside the prior."""
        posteriors = self.proposals(params, views, subset)
        prior = self.joint.prior_of(params["joint"])
        return propose_from(posteriors, prior, rng_key, num_samples)

    def proposals(
        self, params: StageParams, views: Views, subset: Subset
    ) -> list[distrax.Distribution]:
        """[q(z|X)] given all views, else ``posteriors``: what ``propose`` mixes."""
        check_subset(subset, self.modalities)
        if len(subset) == len(self.modalities):
            return [self.joint.encode(params["joint"], views)]
        return self.posteriors(params, views, subset)

    def joint_log_prob(self, params: StageParams, views: Views, z: Latents) -> Nats:
        """log q(z|X) of the joint encoder; nats."""
        return self.joint.encode(params["joint"], views).log_prob(z)

    @functools.partial(jax.jit, static_argnums=0)
    def draw_joint(self, joint_params: Params, rng_key: jax.Array, views: Views):
        """z ~ q(z|X), f32[B, D]."""
        return self.joint.encode(joint_params, views).sample(seed=rng_key)
