"""Encoders: trunks that turn one modality into features, and Gaussian heads on them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Conv, Pictures
from jnf_jax.networks.linear_experts import LinearExperts
from jnf_jax.types import COVARIATES, GaussianCode, Mask

View = Float[Array, "batch ..."]
"""Data of one modality, f32[B, ...]."""

Features = Float[Array, "batch features"]
"""f32[B, F]."""

SCALES = {
    "exp": lambda output: jnp.exp(0.5 * output),
    "softmax": lambda output: jax.nn.softmax(output) * output.shape[-1] + 1e-6,
}
"""From an encoder's output to a scale; those of "softmax" average to one (MMVAE)."""


class MlpTrunk(nn.Module):
    """Flatten, then dense layers with ReLU; computed in ``dtype``, as all trunks.

    With ``linear_path`` the flat input stands beside the last layer: what is linear in
    these features is a network plus a linear map.
    """

    hidden_sizes: tuple[int, ...]
    dtype: str = "float32"
    linear_path: bool = False

    @nn.compact
    def __call__(self, x: View) -> Features:
        h = x = x.reshape(x.shape[0], -1)
        for size in self.hidden_sizes:
            initial = nn.initializers.he_normal()
            h = nn.relu(nn.Dense(size, kernel_init=initial, dtype=self.dtype)(h))
        if not self.linear_path:
            return h
        return jnp.concatenate([h, x.astype(h.dtype)], axis=-1)


class ConvTrunk(nn.Module):
    """Stride-2 convolutions with padding 1 and ReLU, flattened, then dense layers."""

    features: tuple[int, ...]
    kernel_size: int
    hidden_sizes: tuple[int, ...] = ()
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Pictures) -> Features:
        for size in self.features:
            conv = Conv(size, self.kernel_size, 2, padding=1, dtype=self.dtype)
            x = nn.relu(conv(x))
        return MlpTrunk(self.hidden_sizes, self.dtype)(x)


class GaussianEncoder(nn.Module):
    """A trunk with heads for the mean, the scale and, if asked, a context.

    ::

        h = trunk(x);   μ = W_1 h + b_1;   ℓ = W_2 h + b_2;   c = W_3 h + b_3
        σ = exp(½ ℓ), so that ℓ = log σ²;  or  σ = D softmax(ℓ) + 1e-6

    The heads are float32, whatever the trunk is computed in.
    """

    trunk: nn.Module
    latent_size: int
    context_size: int = 0
    scale: str = "exp"

    @nn.compact
    def __call__(self, x: View) -> GaussianCode:
        h = self.trunk(x)
        mean = nn.Dense(self.latent_size, name="mean")(h)
        output = nn.Dense(
            self.latent_size,
            kernel_init=nn.initializers.variance_scaling(0.1, "fan_in", "normal"),
            name="log_variance" if self.scale == "exp" else "scale_logits",
        )(h)
        context = None
        if self.context_size:
            context = nn.Dense(self.context_size, name="context")(h)
        return GaussianCode(mean, SCALES[self.scale](output), context)


class JointEncoder(nn.Module):
    """q(z|X): one head a modality, their means concatenated, an MLP, a Gaussian.

    ``heads`` pairs modality names with trunks; each head maps its trunk's features to
    ``head_size`` numbers. There is no context.

    With ``takes_partial`` it is q(z|x_O) of whichever views O a row has: a learnt
    vector "absent_<m>" stands for the head of a view that is not there. With all views
    it is the same function as without.

    With ``linear_path`` the mean is added to that of ``LinearExperts`` on the heads,
    and the variance multiplied by 1/Λ_dd, the best diagonal one for that posterior.

    With ``num_covariates`` it is q(z|X, c): each head reads c f32[B, K], which stands
    under ``COVARIATES`` among the views, beside the features of its trunk.
    """

    heads: tuple[tuple[str, nn.Module], ...]
    hidden_sizes: tuple[int, ...]
    latent_size: int
    head_size: int
    dtype: str = "float32"
    takes_partial: bool = False
    linear_path: bool = False
    num_covariates: int = 0

    def setup(self):
        self.head = {name: nn.Dense(self.head_size) for name, _ in self.heads}
        # Checkpoints have the trunk of the body under this name, beside it.
        self.MlpTrunk_0 = MlpTrunk(self.hidden_sizes, self.dtype)
        self.body = GaussianEncoder(self.MlpTrunk_0, self.latent_size)
        if self.linear_path:
            self.linear = LinearExperts(self.latent_size)
        if self.takes_partial:
            normal, size = nn.initializers.normal(1.0), (self.head_size,)
            self.absent = {
                m: self.param(f"absent_{m}", normal, size) for m, _ in self.heads
            }

    def features(self, views: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """{m: f32[B, head_size]} of the views given: all that z depends on x_m by."""
        features = {}
        for name, trunk in self.heads:
            if name in views:
                h = trunk(views[name])
                if self.num_covariates:
                    h = jnp.concatenate([h, views[COVARIATES]], axis=-1)
                features[name] = self.head[name](h)
        return features

    def __call__(
        self, views: dict[str, jax.Array], present: Mask | None = None
    ) -> GaussianCode:
        """q(z|X), or q(z|x_O) with O ``present``; absent views are zeros."""
        features = self.features(views)
        shown = features
        if present is not None:
            shown = {
                m: jnp.where(present[m][:, None], h, self.absent[m])
                for m, h in features.items()
            }
        code = self.body(
            jnp.concatenate([shown[name] for name, _ in self.heads], axis=-1)
        )
        if not self.linear_path:
            return code
        if present is None:
            present = {m: jnp.ones(len(h), bool) for m, h in features.items()}
        mean, root = self.linear(features, present)
        precision = jnp.sum(jnp.square(root), axis=-1)  # Λ_dd
        return code._replace(
            mean=code.mean + mean, scale=code.scale / jnp.sqrt(precision)
        )
