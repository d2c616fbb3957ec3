"""Fitting unimodal posteriors to a frozen joint one (stage two of JNF)."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.types import Mask, Params


@dataclasses.dataclass(frozen=True)
class UnimodalModel:
    """Apply-functions of stage two; hashable, so static under ``jax.jit``.

    Attributes:
        joint_posterior: ``(frozen, batch) -> q(z|X)``: the frozen joint encoder, or a
            reader of its cached output.
        posteriors: ``(params, batch) -> {modality: q_m(z|x_m)}``.
    """

    joint_posterior: Callable[[Params, Any], distrax.Distribution]
    posteriors: Callable[[Params, Any], dict[str, distrax.Distribution]]


class UnimodalTerms(NamedTuple):
    """``loss`` f32[B], the sum over modalities of ``nll`` {m: f32[B]}; nats."""

    loss: Float[Array, " batch"]
    nll: dict[str, Float[Array, " batch"]]


def unimodal_nll(
    params: Params,
    frozen: Params,
    rng_key: jax.Array,
    batch: Any,
    *,
    model: UnimodalModel,
    num_samples: int = 1,
    present: Mask | None = None,
) -> UnimodalTerms:
    """Cross-entropy of the unimodal posteriors under the joint one, in nats; minimised.

    ::

        loss = − (1/n) Σ_i Σ_m log q_m(z_i|x_m),     z_1 … z_n ~ q(z|X), no gradient
             = Σ_m KL(q(z|X) ‖ q_m(z|x_m)) + M · H(q(z|X))        in expectation

    Source: arXiv 2502.03952, stage two. Its minimum is not zero KL: the floor is the
    information that the other modalities add about z.

    Args:
        params: Parameters of the unimodal posteriors.
        frozen: Parameters of the joint encoder; never updated.
        rng_key: Typed key of the draws.
        batch: Modality -> f32[B, ...], or whatever ``model`` reads.
        model: The apply-functions.
        num_samples: n draws a datum; x_m is encoded once for all of them.
        present: {m: bool[B]}, the views O that each row has: m is summed over O, and
            the joint posterior is q(z|x_O). None: every row has all views.

    Returns:
        UnimodalTerms, un-reduced over the batch; ``nll`` is 0 where x_m is not there.

    Raises:
        ValueError: If ``num_samples`` < 1.
    """
    if num_samples < 1:
        raise ValueError(f"`num_samples` must be at least 1, got {num_samples}")
    joint = model.joint_posterior(frozen, batch)
    z = jax.lax.stop_gradient(joint.sample(seed=rng_key, sample_shape=num_samples))
    posteriors = model.posteriors(params, batch)
    nll = {m: -jnp.mean(posteriors[m].log_prob(z), axis=0) for m in sorted(posteriors)}
    if present is not None:
        nll = {m: x * present[m] for m, x in nll.items()}
    return UnimodalTerms(sum(nll.values()), nll)
