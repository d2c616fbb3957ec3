"""A method: the stages that it trains, and the inference that metrics build on."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jnf_jax.sampling import ChainDiagnostics
from jnf_jax.stage import Stage
from jnf_jax.types import Mask, Prior, StageParams, Subset, Views


class Batch(NamedTuple):
    """What a stage's loss reads of some rows.

    Attributes:
        views: {m: f32[B, ...]}, zeros where a row lacks a view.
        cached: What the stage cached of earlier ones, by row.
        present: {m: bool[B]}, the views that each row has; None: all of them.
    """

    views: Views
    cached: Any = None
    present: Mask | None = None


class SubsetInfo(NamedTuple):
    """How drawing z ~ q(z|x_S) went, datum by datum.

    Attributes:
        step_size: Of the leapfrog integrator, shared by all data.
        acceptance: Mean acceptance probability over the chain's transitions.
        divergences: Number of divergent transitions.
        improper: Whether the product of the experts' Gaussian bases over the divisor's
            power is no density in some dimension; None where the divisor's tails are
            not known to be a Gaussian's.
    """

    step_size: Float[Array, ""]
    acceptance: Float[Array, " batch"]
    divergences: Int[Array, " batch"]
    improper: Bool[Array, " batch"] | None


class Proposal(NamedTuple):
    """K draws a datum of a posterior whose density is known.

    Attributes:
        z: As ``Inference.infer`` gives it, leaves [K, B, ...].
        log_ratio: log p(z) − log q(z), nats, f32[K, B]; up to log Z where the prior is
            not normalised.
    """

    z: Any
    log_ratio: Float[Array, "samples batch"]


def propose_from(
    posteriors: Sequence[distrax.Distribution],
    prior: Prior,
    rng_key: jax.Array,
    num_samples: int,
) -> Proposal:
    """Draws of the mixture of ``posteriors``, batch [B], events [D], beside that prior.

    ::

        z_k ~ q(z) = (1/J) Σ_j q_j(z),    log p(z_k) − log q(z_k)

    Each q_j is drawn from as often as the others, or once more. Which come first is
    random, so that every z_k alone is a draw of q.
    """
    offset_key, *keys = jax.random.split(rng_key, len(posteriors) + 1)
    num_each = -(-num_samples // len(posteriors))
    draws = [
        q.sample(seed=key, sample_shape=num_each)
        for q, key in zip(posteriors, keys, strict=True)
    ]
    num_all = num_each * len(posteriors)
    z = jnp.stack(draws, axis=1).reshape(num_all, *draws[0].shape[1:])
    offset = jax.random.randint(offset_key, (), 0, len(posteriors))
    z = jnp.roll(z, offset, axis=0)[:num_samples]
    each = jnp.stack([q.log_prob(z) for q in posteriors])
    log_q = jax.nn.logmeanexp(each, axis=0)
    return Proposal(z, prior.log_density(z) - log_q)


@runtime_checkable
class Inference(Protocol):
    """What metrics and programs ask of a trained model; ``params`` is {stage: params}.

    A subset is a tuple of modality names. All functions are traceable.
    ``prior_names`` are what joint draws can be made from; the model's own comes first.
    """

    modalities: tuple[str, ...]
    prior_names: tuple[str, ...]

    def infer(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: Float[Array, ""] | None = None,
    ) -> tuple[Any, SubsetInfo | None]:
        """One z per datum from q(z|x_S); and how the sampler did, if one ran.

        Args:
            params: Parameters by stage.
            rng_key: Typed key.
            views: {m: f32[B, ...]}; those of ``subset`` are read.
            subset: Names of the given modalities.
            step_size: As ``adapt`` gave it.

        Returns:
            z, an array f32[B, D] or a struct of such, and how the chains did (None
            where none ran).

        Raises:
            ValueError: ``subset`` is empty or has an unknown or repeated name.
        """
        ...

    def adapt(
        self, params: StageParams, rng_key: jax.Array, views: Views, subset: Subset
    ) -> Float[Array, ""] | None:
        """The sampler's step size for ``subset``; None where no sampler runs."""
        ...

    def diagnose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: Float[Array, ""] | None,
    ) -> ChainDiagnostics | None:
        """R-hat and effective sample sizes for ``subset``; None without a sampler."""
        ...

    def decode(self, params: StageParams, z: Any) -> dict[str, Any]:
        """{modality: p(x_m|z)}."""
        ...

    def sample_prior(
        self,
        params: StageParams,
        rng_key: jax.Array,
        num_samples: int,
        name: str | None = None,
    ) -> Any:
        """``num_samples`` draws from the prior of that name; None: the model's own."""
        ...

    def prior_of(self, params: StageParams, name: str) -> Prior:
        """The prior of that name; of the shared latent where z is a struct."""
        ...


@runtime_checkable
class PictureDecoder(Protocol):
    """Another way to show z than by the means of ``Inference.decode``."""

    def draw(
        self,
        params: StageParams,
        rng_key: jax.Array,
        z: Any,
        modalities: tuple[str, ...],
    ) -> Views:
        """{m: f32[B, ...] in [0, 1]} of ``modalities``, random given z."""
        ...


@runtime_checkable
class PosteriorDensity(Inference, Protocol):
    """Inference whose q(z|X) and q_m(z|x_m) have densities, as all but a diffusion's
    have."""

    def joint_log_prob(
        self, params: StageParams, views: Views, z: Any
    ) -> Float[Array, " batch"]:
        """log q(z|X), all modalities given; nats."""
        ...

    def unimodal_log_probs(
        self, params: StageParams, views: Views, z: Any
    ) -> dict[str, Float[Array, " batch"]]:
        """{modality: log q_m(z|x_m)}, nats."""
        ...


@runtime_checkable
class ImportanceInference(Inference, Protocol):
    """Inference that likelihoods can be estimated by."""

    def propose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        num_samples: int,
    ) -> Proposal:
        """Draws of q(z|x_S) where |S| is 1 or M, else of (1/|S|) Σ_{j∈S} q(z|x_j).

        That is where the density is known of; traceable.
        """
        ...


@runtime_checkable
class SubsetDensity(Inference, Protocol):
    """Inference whose q(z|x_S) has a density for every S."""

    def subset_log_prob(
        self, params: StageParams, views: Views, subset: Subset, z: Any
    ) -> Float[Array, " batch"] | None:
        """log q(z|x_S), nats; of ∅ and of all views too.

        None, of ∅ alone, where that is a prior whose log Z is not known.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Method:
    """A method is its stages, in the order of training, and its inference.

    ``diffusion_decoder`` is there where a stage of that name is.
    """

    stages: tuple[Stage, ...]
    inference: Inference
    diffusion_decoder: PictureDecoder | None = None


def shared_latent(z: Any) -> Float[Array | np.ndarray, "*batch latent"]:
    """The latent that all modalities share: what priors are of."""
    return getattr(z, "shared", z)


def with_shared_latent(z: Any, shared: Float[Array, "batch latent"]) -> Any:
    """z with another shared latent; private ones, where there are any, are kept."""
    return z._replace(shared=shared) if hasattr(z, "shared") else shared


def check_subset(
    subset: Subset, modalities: tuple[str, ...], name: str = "subset"
) -> None:
    """Refuses a subset that is empty, has an unknown name, or names one twice.

    Raises:
        ValueError: With the names that are known.
    """
    if not subset:
        raise ValueError(
            f"`{name}` is empty, expected one or more of {list(modalities)}"
        )
    unknown = sorted(set(subset) - set(modalities))
    if unknown or len(set(subset)) != len(subset):
        raise ValueError(
            f"`{name}` is {list(subset)}, expected distinct names out of "
            f"{list(modalities)}"
        )


def check_prior_name(
    name: str | None, known: tuple[str, ...], *, argument: str = "name"
) -> str:
    """``name``, or the first known one if None; ``argument`` is what the user wrote.

    Raises:
        ValueError: If it is not known.
    """
    name = known[0] if name is None else name
    if name not in known:
        raise ValueError(f"`{argument}` is {name!r}, expected one of {known}")
    return name
