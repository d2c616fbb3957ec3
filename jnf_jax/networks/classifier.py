"""The digit classifier of the evaluation protocol: one a modality."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Conv
from jnf_jax.networks.sequence import TransformerTrunk


class Classifier(nn.Module):
    """Stride-2 convolutions, one dense layer, dropout, logits.

    Sequences go through two Transformer blocks instead of the convolutions.
    Dropout acts only where a key is given: evaluation is deterministic by construction.
    """

    num_classes: int
    features: tuple[int, ...] = (32, 64, 128)
    hidden_size: int = 256
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch ..."],
        dropout_key: jax.Array | None = None,
    ) -> Float[Array, "batch classes"]:
        """x f32[B, H, W, C] or f32[B, T, C] -> logits f32[B, num_classes]."""
        if x.ndim == 3:
            x = TransformerTrunk((64, 64))(x)
        else:
            for size in self.features:
                x = nn.relu(Conv(size, 3, stride=2, padding=1)(x))
        x = nn.relu(nn.Dense(self.hidden_size)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(self.dropout_rate, deterministic=dropout_key is None)(
            x, rng=dropout_key
        )
        return nn.Dense(self.num_classes)(x)
