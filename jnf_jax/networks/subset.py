"""The encoder of any subset of the views, on features that are known already."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnf_jax.networks.gaussian import MlpTrunk
from jnf_jax.networks.linear_experts import LinearExperts
from jnf_jax.types import Mask, MixtureCode


class SubsetEncoder(nn.Module):
    """A mixture of normals, and a context for a flow, from features of what is given.

    ::

        h = MLP(b_1 φ_1, …, b_M φ_M, b_1, …, b_M),     b_m = 1 if m ∈ S else 0
        logits, μ_k, log σ_k² and the context are linear in h

    With ``linear_path`` they are of u = Cᵀ (z − μ_S), μ_S and C by ``LinearExperts``:
    what a linear-Gaussian model knows is then there before the MLP has learnt anything.
    Missing features are zeros, and b tells them from features that are zero: one
    network serves all 2^M − 1 subsets in one compiled program.
    """

    latent_size: int
    num_components: int
    hidden_sizes: tuple[int, ...]
    context_size: int
    linear_path: bool = False

    @nn.compact
    def __call__(self, features: dict[str, jax.Array], given: Mask) -> MixtureCode:
        """features {m: f32[B, H_m]}, given {m: bool[B]} -> MixtureCode of f32[B, …]."""
        names = sorted(features)
        masked = [jnp.where(given[m][:, None], features[m], 0.0) for m in names]
        flags = jnp.stack([given[m] for m in names], axis=-1).astype(jnp.float32)
        h = MlpTrunk(self.hidden_sizes)(jnp.concatenate([*masked, flags], axis=-1))
        shape = (h.shape[0], self.num_components, self.latent_size)
        size = self.num_components * self.latent_size
        # Means start apart, or all components would stay one.
        mean = nn.Dense(size, bias_init=nn.initializers.normal(0.5), name="mean")(h)
        log_variance = nn.Dense(
            size,
            kernel_init=nn.initializers.variance_scaling(0.1, "fan_in", "normal"),
            name="log_variance",
        )(h)
        context = None
        if self.context_size:
            context = nn.Dense(self.context_size, name="context")(h)
        logits = nn.Dense(self.num_components, name="logits")(h)
        scale = jnp.exp(0.5 * log_variance).reshape(shape)
        linear = None
        if self.linear_path:
            experts = LinearExperts(self.latent_size, name="linear")
            linear = experts(features, given)
        return MixtureCode(logits, mean.reshape(shape), scale, context, linear)
