"""The network of an energy-based prior: z -> f(z), one number."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnf_jax.types import Latents, Nats, Params

ACTIVATIONS = {"leaky_relu": lambda h: nn.leaky_relu(h, 0.2), "gelu": nn.gelu}


class TiltNetwork(nn.Module):
    """Dense layers to f(z) in nats; the default sizes are those of arXiv 2006.08205.

    The last layer starts at zero, so that the prior starts as its reference.
    """

    hidden_sizes: tuple[int, ...] = (200, 200)
    activation: str = "leaky_relu"

    @nn.compact
    def __call__(self, z: Latents) -> Nats:
        h = z
        for size in self.hidden_sizes:
            h = nn.Dense(size, kernel_init=nn.initializers.glorot_normal())(h)
            h = ACTIVATIONS[self.activation](h)
        return nn.Dense(1, kernel_init=nn.initializers.zeros)(h)[..., 0]


def bound_slope(params: Params, bound: float) -> Params:
    """Scales kernels down so that |f(z) − f(z')| ≤ bound · ‖z − z'‖.

    Each of L kernels gets a spectral norm of at most bound^(1/L) (exactly, from its
    singular values); activations of slope ≤ 1, as "leaky_relu" is, then keep the
    product below the bound, which is in nats per unit of z.
    """
    limit = bound ** (1 / len(params))

    def scaled(kernel: jax.Array) -> jax.Array:
        u, _, v = jnp.linalg.svd(jax.lax.stop_gradient(kernel), full_matrices=False)
        # σ = uᵀWv has the gradient uvᵀ of the top singular value, and one at W = 0.
        norm = u[:, 0] @ kernel @ v[0]
        return kernel * (limit / jnp.maximum(norm, limit))

    return {
        name: {**layer, "kernel": scaled(layer["kernel"])}
        for name, layer in params.items()
    }
