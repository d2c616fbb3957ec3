"""Masked autoregressive flow (MAF, arXiv 1705.07057) as a distrax bijector.

Orientation: ``forward`` is u -> z (sampling, one pass a coordinate), ``inverse`` is
z -> u (density, one pass), so that ``distrax.Transformed(base, bijector)`` is the
posterior of z.
"""

from collections.abc import Callable, Sequence

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.types import Latents, Nats

Conditioner = Callable[[jax.Array], tuple[jax.Array, jax.Array]]
"""z f32[*batch, D] -> (shift, raw log-scale), each f32[*batch, D]; output d may read
only the coordinates before d in the block's order (and whatever it closes over)."""


class MaskedAutoregressive(distrax.Bijector):
    """One block: an affine map of each coordinate given those before it.

        (m, a) = conditioner(z),   s = s_max tanh(a / s_max)
        inverse:  u_d = (z_d - m_d(z_<d)) exp(-s_d(z_<d))    log|det| = -sum_d s_d
        forward:  z_d = u_d exp(s_d(z_<d)) + m_d(z_<d)       log|det| = +sum_d s_d

    z_<d are the coordinates before d in the block's order, which ``reverse`` makes D..1
    instead of 1..D, as the conditioner must. The clamp s_max > 0, in nats, is ours, not
    MAF's: it bounds the Jacobian and keeps far-away HMC proposals finite. A conditioner
    that is a ``jax.tree_util.Partial`` makes the bijector a pytree that may cross a jit
    boundary.
    """

    def __init__(
        self,
        conditioner: Conditioner,
        *,
        reverse: bool = False,
        max_log_scale: float = 4.0,
    ):
        if not max_log_scale > 0:
            raise ValueError(f"max_log_scale: got {max_log_scale}, expected > 0")
        super().__init__(event_ndims_in=1)
        self._conditioner = conditioner
        self._reverse = reverse
        self._max_log_scale = max_log_scale

    def _shift_and_log_scale(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift, raw = self._conditioner(z)
        if shift.shape != z.shape or raw.shape != z.shape:
            raise ValueError(
                f"conditioner: got shapes {shift.shape} and {raw.shape}, expected "
                f"those of z, {z.shape}"
            )
        return shift, self._max_log_scale * jnp.tanh(raw / self._max_log_scale)

    def forward_and_log_det(self, x: Latents) -> tuple[Latents, Nats]:
        """u -> z and log|det dz/du|, one conditioner pass a coordinate."""
        self._check_forward_input_shape(x)
        event_size = x.shape[-1]

        def set_next(carry, step):
            z, log_det = carry
            d = event_size - 1 - step if self._reverse else step
            shift, log_scale = self._shift_and_log_scale(z)
            u_d, m_d, s_d = (
                jax.lax.dynamic_index_in_dim(a, d, axis=-1, keepdims=False)
                for a in (x, shift, log_scale)
            )
            # One coordinate only: those after it are still zero, and whatever the
            # conditioner says of them is garbage that may overflow.
            z_d = u_d * jnp.exp(s_d) + m_d
            z = jax.lax.dynamic_update_index_in_dim(z, z_d, d, axis=-1)
            return (z, log_det + s_d), None

        init = (jnp.zeros_like(x), jnp.zeros_like(x[..., 0]))
        (z, log_det), _ = jax.lax.scan(set_next, init, jnp.arange(event_size))
        return z, log_det

    def inverse_and_log_det(self, y: Latents) -> tuple[Latents, Nats]:
        """z -> u and log|det du/dz|, one conditioner pass."""
        self._check_inverse_input_shape(y)
        shift, log_scale = self._shift_and_log_scale(y)
        return (y - shift) * jnp.exp(-log_scale), -log_scale.sum(axis=-1)


def masked_autoregressive_flow(
    conditioners: Sequence[Conditioner], *, max_log_scale: float = 4.0
) -> distrax.Bijector:
    """Blocks 0, 1, ... applied in this order in the density direction z -> u.

    Odd blocks run over the coordinates in reverse instead of being separated by
    permutations, so any number of identity blocks is the identity.

    Raises:
        ValueError: If there is no conditioner: see ``flow_posterior``.
    """
    if not conditioners:
        raise ValueError("conditioners: got none, expected at least one block")
    how = {"max_log_scale": max_log_scale}
    blocks = [
        MaskedAutoregressive(conditioner, reverse=number % 2 == 1, **how)
        for number, conditioner in enumerate(conditioners)
    ]
    # distrax.Chain applies the LAST bijector first on the way forward, hence the FIRST
    # one first on the way back, z -> u: the order wanted here.
    return distrax.Chain(blocks)


def base_distance(
    posterior: distrax.Distribution, z: Latents
) -> Float[Array, "*batch"]:
    """How far z is from the middle of what ``flow_posterior`` gave; f32[*B].

    ::

        √( (1/D) Σ_d ((u_d − μ_d) / σ_d)² ),   u = f(z)

    It is about 1 for a draw of the posterior, whatever D and the flow are.

    >>> base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.full(2, 3.0))
    >>> float(base_distance(base, jnp.array([3.0, -3.0])))
    1.0
    """
    base, u = posterior, z
    if not isinstance(posterior, distrax.MultivariateNormalDiag):  # one transformed
        base, u = posterior.distribution, posterior.bijector.inverse(z)
    return jnp.sqrt(jnp.mean(jnp.square((u - base.loc) / base.scale_diag), axis=-1))


def flow_posterior(
    base: distrax.Distribution,
    conditioners: Sequence[Conditioner],
    *,
    max_log_scale: float = 4.0,
) -> distrax.Distribution:
    """q(z) = base(u) |det du/dz| with u = f(z); ``base`` itself for zero blocks.

        log q_j(z|x_j) = log N(u; mu_j, diag sigma_j^2) + log|det df_j/dz|

    (Eq. 9 of arXiv 2502.03952 as summarised to us.) Events of ``base`` are f32[D], its
    batch has any shape; conditioners are one a block, block 0 nearest to z.

    >>> base = distrax.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2))
    >>> identity = lambda z: (jnp.zeros_like(z), jnp.zeros_like(z))
    >>> bool(flow_posterior(base, [identity]).log_prob(jnp.ones(2))
    ...      == base.log_prob(jnp.ones(2)))
    True
    """
    if not conditioners:
        return base
    bijector = masked_autoregressive_flow(conditioners, max_log_scale=max_log_scale)
    return distrax.Transformed(base, bijector)
