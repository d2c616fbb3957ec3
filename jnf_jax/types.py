"""Names that every layer shares: parameters, views, priors, terms of an objective.

Symbols follow the papers: z latent ``[B, D]``, x_m modality m, X all of them. All
likelihood-type quantities are in nats, summed over pixels and tokens, one a datum.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from jnf_jax.names import COVARIATES as COVARIATES

Params = Any
"""A pytree of parameters; losses take the trainable ones as argument 0."""

StageParams = dict[str, Params]
"""Stage -> parameters; inference reads those of every stage that it needs."""

Subset = tuple[str, ...]
"""Names of the modalities that are given."""

Views = Mapping[str, jax.Array]
"""Modality name -> array ``[B, ...]``; iterated in sorted order. Of rows that come with
covariates ``COVARIATES`` stands for these, f32[B, K], where encoders read the views."""

Mask = Mapping[str, jax.Array]
"""Modality name -> bool[B]: whether row i has, or is given, that view. Views that it
hides may hold anything: whatever reads them puts zeros in their place first."""

Shapes = Mapping[str, tuple[int, ...]]
"""Modality name -> event shape, without the batch."""

Latents = Float[Array, "*batch latent"]
"""z, f32[*B, D]."""

Nats = Float[Array, "*batch"]
"""A log density or a term of an objective at each z, f32[*B]."""

Draws = Float[Array, "num_samples latent"]
"""z ~ p(z), f32[N, D]."""


class GaussianCode(NamedTuple):
    """An encoder's answer about z: a mean, a scale, and features for a flow.

    They describe N(mean, diag scale²), or a Laplace posterior where a method reads them
    so. All are f32[B, ...]; ``context`` is None where nothing conditions the flow.
    """

    mean: Float[Array, "*batch latent"]
    scale: Float[Array, "*batch latent"]
    context: Float[Array, "*batch context"] | None = None


class LinearCode(NamedTuple):
    """N(mean, Λ⁻¹) by a lower triangular ``root`` of the precision, Λ = C Cᵀ."""

    mean: Float[Array, "*batch latent"]
    root: Float[Array, "*batch latent latent"]


class MixtureCode(NamedTuple):
    """An encoder's answer about z: a mixture of K normals, and features for a flow.

    They describe Σ_k softmax(logits)_k N(mean_k, diag scale_k²); ``context`` is None
    where nothing conditions the flow. With ``linear`` they, and the flow, are of
    u = Cᵀ (z − mean) in the place of z.
    """

    logits: Float[Array, "*batch components"]
    mean: Float[Array, "*batch components latent"]
    scale: Float[Array, "*batch components latent"]
    context: Float[Array, "*batch context"] | None = None
    linear: LinearCode | None = None


class Verdict(NamedTuple):
    """The judgement of a loss on its own scalars, in words; "" where there is none.

    Attributes:
        warning: Training goes on, and a person should know why it may go wrong.
        failure: Why the loss is not finite, where these scalars explain it.
    """

    warning: str = ""
    failure: str = ""


class ObjectiveTerms(NamedTuple):
    """Per-example terms of an objective that is maximised; all f32[B], in nats."""

    objective: Float[Array, " batch"]
    log_likelihood: dict[str, Float[Array, " batch"]]
    log_ratio: Float[Array, " batch"]


@runtime_checkable
class Prior(Protocol):
    """A density on the latent space and a way to draw from it.

    ``log_density`` may miss a constant, in which case ``is_normalised`` is False and
    nothing built on it is a likelihood.
    """

    @property
    def is_normalised(self) -> bool:
        """Whether ``log_density`` integrates to one."""
        ...

    def log_density(self, z: Latents) -> Nats:
        """log p(z), up to a constant unless ``is_normalised``; nats."""
        ...

    def sample(self, rng_key: jax.Array, num_samples: int) -> Draws:
        """``num_samples`` draws z ~ p(z)."""
        ...
