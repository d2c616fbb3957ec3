"""A method of rows that come with covariates c: q(z|x_S, c), p(x_m|z, c), p(z).

What inference gives is z with the c that it was inferred by, and decoders read both.
Replace the c of a draw, and it is decoded as if the row were of another batch. Joint
draws have c of training rows, which are kept with the parameters of stage ``subsets``.
"""

import dataclasses
import zlib
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.methods.amortised import STAGE, AmortisedInference
from jnf_jax.methods.method import Method, Proposal, SubsetInfo, shared_latent
from jnf_jax.types import (
    COVARIATES,
    Latents,
    Mask,
    Nats,
    Params,
    StageParams,
    Subset,
    Views,
)

NUM_KEPT = 1_024
"""Training rows of which c is kept, drawn at random; of fewer each is repeated."""


class Conditioned(NamedTuple):
    """z f32[*B, D], and c f32[*B, K] of the rows that it is decoded as."""

    shared: Float[Array | np.ndarray, "*batch latent"]
    covariates: Float[Array | np.ndarray, "*batch columns"]


@dataclasses.dataclass(frozen=True)
class ConditionalInference(AmortisedInference):
    """Amortised inference given c, which is ``views[COVARIATES]`` f32[B, K]."""

    def infer(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        step_size: None = None,
    ) -> tuple[Conditioned, SubsetInfo | None]:
        """z ~ q(z|x_S, c) and c.

        Raises:
            ValueError: ``views`` lack covariates.
        """
        if COVARIATES not in views:
            raise ValueError(
                f"`views` has {sorted(views)}, expected covariates of the rows too"
            )
        z, info = super().infer(params, rng_key, views, subset, step_size)
        return Conditioned(z, views[COVARIATES]), info

    def propose(
        self,
        params: StageParams,
        rng_key: jax.Array,
        views: Views,
        subset: Subset,
        num_samples: int,
    ) -> Proposal:
        """Draws of q(z|x_S, c), and c, beside the prior."""
        z, log_ratio = super().propose(params, rng_key, views, subset, num_samples)
        c = views[COVARIATES]
        c = jnp.broadcast_to(c, (num_samples, *c.shape))
        return Proposal(Conditioned(z, c), log_ratio)

    def decode(
        self, params: StageParams, z: Conditioned
    ) -> dict[str, distrax.Distribution]:
        """{m: p(x_m|z, c)}."""
        return self.joint.decode(params["joint"], z.shared, z.covariates)

    def sample_prior(
        self,
        params: StageParams,
        rng_key: jax.Array,
        num_samples: int,
        name: str | None = None,
    ) -> Conditioned:
        """z ~ p(z), of any prior; and c of training rows that are drawn at random."""
        z = super().sample_prior(params, rng_key, num_samples, name)
        # A key of its own: z is what it is without covariates.
        row_key = jax.random.fold_in(rng_key, zlib.crc32(COVARIATES.encode()))
        kept = params[STAGE]["covariates"]
        rows = jax.random.randint(row_key, (num_samples,), 0, kept.shape[0])
        return Conditioned(z, kept[rows])

    def joint_log_prob(
        self, params: StageParams, views: Views, z: Conditioned | Latents
    ) -> Nats:
        """log q(z|X, c); nats."""
        return super().joint_log_prob(params, views, shared_latent(z))

    def subset_log_prob(
        self,
        params: StageParams,
        views: Views,
        subset: Subset,
        z: Conditioned | Latents,
    ) -> Nats:
        """log q(z|x_S, c) of any S; nats."""
        return super().subset_log_prob(params, views, subset, shared_latent(z))


def with_covariates(method: Method, num_covariates: int) -> Method:
    """An amortised method, of which ``num_covariates`` columns c are read and kept."""
    *stages, last = method.stages

    def init(rng_key: jax.Array) -> Params:
        kept = jnp.zeros((NUM_KEPT, num_covariates))
        return {**last.init(rng_key), "covariates": kept}

    def cache(
        params: StageParams, views: Views, present: Mask | None = None
    ) -> dict[str, Any]:
        return last.cache(params, views, present) | {"covariates": views[COVARIATES]}

    def prepare(cached: Any) -> Params:
        size = len(cached["covariates"])
        rows = np.resize(np.random.default_rng(0).permutation(size), NUM_KEPT)
        return last.prepare(cached) | {"covariates": cached["covariates"][rows]}

    stage = dataclasses.replace(last, init=init, cache=cache, prepare=prepare)
    own = method.inference
    inference = ConditionalInference(own.joint, own.posterior, own.features)
    return Method((*stages, stage), inference)
