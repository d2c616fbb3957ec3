"""Codes of two views that are jointly normal: every score at every time is known."""

import jax.numpy as jnp
import numpy as np

from jnf_jax.noise_schedule import NoiseSchedule

SCHEDULE = NoiseSchedule()
SIZES = {"a": 2, "b": 1}
COVARIANCE = np.array([[1.0, 0.3, 0.8], [0.3, 0.6, 0.1], [0.8, 0.1, 1.2]])
"""Of (a_1, a_2, b)."""


def draws(seed, num):
    """{m: f32[num, D_m]}."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(np.zeros(3), COVARIANCE, num).astype(np.float32)
    return {"a": jnp.asarray(z[:, :2]), "b": jnp.asarray(z[:, 2:])}


def exact(factor, z, t):
    """ŝ(z_τ, τ) = −V^½ (A Σ A + V)⁻¹ z_τ, A and V diagonal, times ``factor``."""
    times = jnp.concatenate(
        [jnp.broadcast_to(t[m][:, None], z[m].shape) for m in "ab"], axis=-1
    )
    a, noise = SCHEDULE.signal(times), SCHEDULE.noise(times)
    covariance = a[:, :, None] * COVARIANCE.astype(np.float32) * a[:, None, :]
    covariance += jnp.eye(3) * (noise**2)[:, None, :]
    joined = jnp.concatenate([z["a"], z["b"]], axis=-1)
    found = -factor * noise * jnp.linalg.solve(covariance, joined[..., None])[..., 0]
    return {"a": found[:, :2], "b": found[:, 2:]}


def least_loss(diffused, t, given=()):
    """E‖ŝ + ξ‖² over the entries ``diffused`` at the best ŝ, averaged over times t.

    1 − V_i ((A Σ A + V)⁻¹)_ii of each, of those that are at t or given.
    """
    kept = [*diffused, *given]
    noise = np.float64(SCHEDULE.noise(jnp.asarray(t, jnp.float32)))[:, None]
    noise = noise * np.array([1.0] * len(diffused) + [0.0] * len(given))
    a = np.sqrt(1 - noise**2)
    covariance = a[:, :, None] * COVARIANCE[np.ix_(kept, kept)] * a[:, None, :]
    covariance += np.eye(len(kept)) * (noise**2)[:, None, :]
    diagonal = np.diagonal(np.linalg.inv(covariance), axis1=1, axis2=2)
    return float((1 - noise**2 * diagonal)[:, : len(diffused)].sum(-1).mean())
