"""MADE: the masked network that gives an autoregressive flow its shift and scale."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.flows.masks import made_masks


class MaskedDense(nn.Module):
    """A dense layer whose kernel is multiplied by a constant mask ``[from, to]``."""

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch inputs"], mask: np.ndarray
    ) -> Float[Array, "*batch outputs"]:
        kernel = self.param("kernel", self.kernel_init, mask.shape)
        y = x @ (kernel * mask)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,))
        return y


class Made(nn.Module):
    """(shift, raw log-scale) of each coordinate from those before it and a context.

        h_1 = relu(W_1 z + U c + b_1),   h_l = relu(W_l h_{l-1} + b_l)
        (m, a) = V h_L + b + A z + C c          W, V, A masked, see ``flows.masks``

    (arXiv 1502.03509, as used by MAF, arXiv 1705.07057.) V, A, C and b start at zero,
    so that the flow starts as the identity. Two edges that the paper leaves out are
    always there: A, which makes all D(D-1)/2 dependencies reachable when a hidden layer
    is narrower than D, and C, without which the first coordinates see the context
    through a unit or two, or not at all. No batch norm: HMC differentiates this.

    Attributes:
        event_size: number of coordinates D; 1 works.
        hidden_sizes: width of each hidden layer.
        reverse: autoregressive from the last coordinate to the first.
    """

    event_size: int
    hidden_sizes: Sequence[int]
    reverse: bool = False

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "*batch latent"],
        context: Float[Array, "*context_batch context"] | None = None,
    ) -> tuple[Float[Array, "*batch latent"], Float[Array, "*batch latent"]]:
        """One pass.

        Args:
            z: f32[*batch, D].
            context: f32[*context_batch, C], its batch broadcastable to that of z (so
                many draws of z may share one context), or None.

        Returns:
            shift m and raw (unclamped) log-scale a, each f32[*batch, D].

        Raises:
            ValueError: the last axis of z is not ``event_size``.
        """
        if z.shape[-1] != self.event_size:
            raise ValueError(
                f"z: got shape {z.shape}, expected [..., {self.event_size}]"
            )
        masks = made_masks(
            self.event_size,
            self.hidden_sizes,
            has_context=context is not None,
            reverse=self.reverse,
        )
        zeros = nn.initializers.zeros
        h = z
        for i, mask in enumerate(masks.hidden):
            h = MaskedDense(mask.shape[1], name=f"hidden_{i}")(h, mask)
            if i == 0 and context is not None:
                h = h + nn.Dense(mask.shape[1], use_bias=False, name="context")(context)
            h = nn.relu(h)
        size = 2 * self.event_size
        out = MaskedDense(size, kernel_init=zeros, name="output")(
            h, np.tile(masks.output, 2)
        )
        out = out + MaskedDense(size, use_bias=False, kernel_init=zeros, name="direct")(
            z, np.tile(masks.direct, 2)
        )
        if context is not None:
            out = out + nn.Dense(
                size, use_bias=False, kernel_init=zeros, name="direct_context"
            )(context)
        shift, raw_log_scale = jnp.split(out, 2, axis=-1)
        return shift, raw_log_scale


def made_stack(
    event_size: int, hidden_sizes: Sequence[int], num_blocks: int
) -> tuple[Made, ...]:
    """The conditioners of a flow with ``num_blocks`` blocks, odd ones reversed.

    The orders are those that ``flows.masked_autoregressive_flow`` runs its blocks in.
    """
    if num_blocks < 0:
        raise ValueError(f"num_blocks: got {num_blocks}, expected at least 0")
    return tuple(
        Made(event_size, tuple(hidden_sizes), reverse=block % 2 == 1)
        for block in range(num_blocks)
    )
