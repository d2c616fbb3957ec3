"""MADE: the masked network that gives an autoregressive flow its shift and scale."""

from collections.abc import Sequence

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.flows import flow_posterior
from jnf_jax.flows.masks import made_masks
from jnf_jax.types import Latents, Params


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

    ``event_size`` is D, from 1 on; with ``reverse`` the order is that of D..1.
    """

    event_size: int
    hidden_sizes: Sequence[int]
    reverse: bool = False

    @nn.compact
    def __call__(
        self,
        z: Latents,
        context: Float[Array, "*context_batch context"] | None = None,
    ) -> tuple[Latents, Latents]:
        """z f32[*B, D], c f32[*C, F] -> m and a (not clamped), each f32[*B, D].

        The batch of the context is broadcast to that of z: many draws of z may share
        one context.

        Raises:
            ValueError: If the last axis of z is not ``event_size``.
        """
        if z.shape[-1] != self.event_size:
            raise ValueError(
                f"z: got shape {z.shape}, expected [..., {self.event_size}]"
            )
        has_context, zeros = context is not None, nn.initializers.zeros
        kind = {"has_context": has_context, "reverse": self.reverse}
        masks = made_masks(self.event_size, self.hidden_sizes, **kind)
        h = z
        for i, mask in enumerate(masks.hidden):
            h = MaskedDense(mask.shape[1], name=f"hidden_{i}")(h, mask)
            if i == 0 and has_context:
                h = h + nn.Dense(mask.shape[1], use_bias=False, name="context")(context)
            h = nn.relu(h)
        size, edge = 2 * self.event_size, {"use_bias": False, "kernel_init": zeros}
        output = MaskedDense(size, kernel_init=zeros, name="output")
        direct = MaskedDense(size, **edge, name="direct")
        out = output(h, np.tile(masks.output, 2)) + direct(z, np.tile(masks.direct, 2))
        if has_context:
            out = out + nn.Dense(size, **edge, name="direct_context")(context)
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


def init_flow(
    blocks: Sequence[Made],
    rng_keys: Sequence[jax.Array],
    z: jax.Array,
    context: jax.Array | None = None,
) -> Params:
    """{"0": …, "1": …} as ``made_flow`` takes them, one key a block; the flow starts as
    the identity. ``z`` and ``context`` give shapes alone."""
    return {
        str(i): block.init(key, z, context)["params"]
        for i, (block, key) in enumerate(zip(blocks, rng_keys, strict=True))
    }


def made_flow(
    base: distrax.Distribution,
    blocks: Sequence[Made],
    params: Params,
    context: jax.Array | None,
    max_log_scale: float,
) -> distrax.Distribution:
    """``flow_posterior`` of ``base`` through ``blocks``, whose parameters are {"0": …,
    "1": …}; ``context`` conditions each of them."""

    def conditioner(block: Made, block_params: Params):
        return lambda z: block.apply({"params": block_params}, z, context)

    return flow_posterior(
        base,
        [conditioner(block, params[str(i)]) for i, block in enumerate(blocks)],
        max_log_scale=max_log_scale,
    )
