"""Denoising some views given others: one score, a time for each view (MLD)."""

import zlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.losses.denoising import denoising_loss
from jnf_jax.losses.joint import hide_absent
from jnf_jax.losses.subsets import proper_subsets
from jnf_jax.noise_schedule import NoiseSchedule
from jnf_jax.types import Mask, Params, Views

MultiTimeScore = Callable[[Params, Views, Mapping[str, jax.Array]], Views]
"""ŝ: (params, {m: z_m f32[B, D_m]}, {m: τ_m f32[B]}) -> {m: f32[B, D_m]}."""


def join(parts: Views) -> jax.Array:
    """{m: f32[..., D_m]} -> f32[..., Σ D_m], in sorted order."""
    return jnp.concatenate([parts[m] for m in sorted(parts)], axis=-1)


def split(z: jax.Array, sizes: Mapping[str, int]) -> dict[str, jax.Array]:
    """The inverse of ``join``; ``sizes`` are the D_m."""
    names = sorted(sizes)
    ends = np.cumsum([sizes[m] for m in names])[:-1]
    return dict(zip(names, jnp.split(z, ends, axis=-1), strict=True))


def multi_time_denoising_loss(
    params: Params,
    rng_key: jax.Array,
    latents: Mapping[str, Float[Array, "batch _"]],
    *,
    scaled_score: MultiTimeScore,
    schedule: NoiseSchedule,
    conditioning_probability: float = 1.0,
    weight: Callable[[jax.Array], jax.Array] = jnp.ones_like,
    present: Mask | None = None,
) -> Float[Array, " batch"]:
    """w(t) Σ_{m∉S} ‖ ŝ_m(z_τ, τ) + ξ_m ‖² at one S, t, ξ a datum; minimised, no unit.

    ::

        S ⊊ O random, of 0 to |O| − 1 views;  ∅ with probability 1 − d
        τ_m = 0,   z_τ,m = z_m                     m ∈ S: given
        τ_m = t,   z_τ,m = a(t) z_m + √v(t) ξ_m    m ∈ O∖S: diffused together
        τ_m = 1,   z_τ,m ~ N(0, I)                 m ∉ O: the row lacks the view
        loss = w(t) Σ_{m∈O∖S} ‖ ŝ_m(z_τ, τ) + ξ_m ‖²

    Source: the masked multi-time diffusion of arXiv 2306.04445. One network learns the
    score of every conditional p(z_−S|z_S) and, with nothing given, of p(z). At τ = 1
    nothing is left of a view: a row that lacks some teaches the conditionals of the
    others. Deviations: |S| is uniform and ∅ one of the choices; the error is summed
    over what is diffused, not divided by its size; times cover a batch evenly, as in
    ``denoising_loss``, which this is for M = 1 (same key, same value).

    The least possible loss is E tr Cov(ξ_−S | z_τ).

    Args:
        params: Parameters of ŝ.
        rng_key: Typed key.
        latents: {m: z_m f32[B, D_m]}, of about unit scale.
        scaled_score: ŝ; what it gives of views in S is not read.
        schedule: β.
        conditioning_probability: d.
        weight: w, as ``denoising_loss`` takes it.
        present: O of every row, {m: bool[B]}; a row without views has the loss 0.
            Hidden views change neither a value nor a gradient. None: all views.

    Raises:
        ValueError: ``present`` does not name the latents.

    >>> blind = lambda params, z, t: jax.tree.map(jnp.zeros_like, z)
    >>> z = {"a": jnp.ones((4, 8)), "b": jnp.ones((4, 3))}
    >>> settings = dict(scaled_score=blind, schedule=NoiseSchedule())
    >>> multi_time_denoising_loss({}, jax.random.key(0), z, **settings).shape
    (4,)
    """
    names = sorted(latents)
    if present is None:
        present = {m: jnp.ones(len(latents[m]), bool) for m in names}
    if sorted(present) != names:
        raise ValueError(f"`present` names {sorted(present)}, expected {names}")
    clean = hide_absent(latents, present)

    sizes = {m: z.shape[-1] for m, z in clean.items()}
    x = join(clean)

    # Keys that the denoising does not split off for itself.
    def key_of(purpose: bytes) -> jax.Array:
        return jax.random.fold_in(rng_key, zlib.crc32(purpose))

    chance_key, subset_key = jax.random.split(key_of(b"given"))
    is_any = jax.random.bernoulli(chance_key, conditioning_probability, x.shape[:1])
    given = {m: is_any & s for m, s in proper_subsets(subset_key, present).items()}
    diffused = {m: present[m] & ~given[m] for m in names}
    at_the_end = split(jax.random.normal(key_of(b"absent"), x.shape), sizes)

    def score(params: Params, noisy: jax.Array, t: jax.Array) -> jax.Array:
        """ŝ of all views, each at its own time."""
        z, times = split(noisy, sizes), {}
        for m in names:
            still = jnp.where(given[m][:, None], clean[m], at_the_end[m])
            z[m] = jnp.where(diffused[m][:, None], z[m], still)
            times[m] = jnp.where(diffused[m], t, jnp.where(given[m], 0.0, 1.0))
        return join(scaled_score(params, z, times))

    counted = {
        m: jnp.broadcast_to(diffused[m][:, None], z.shape) for m, z in clean.items()
    }
    return denoising_loss(
        params,
        rng_key,
        x,
        scaled_score=score,
        schedule=schedule,
        weight=weight,
        where=join(counted),
    )
