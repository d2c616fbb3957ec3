"""The digit classifier of the evaluation protocol: one a modality."""

from typing import NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Conv
from jnf_jax.networks.sequence import TransformerTrunk


class Reading(NamedTuple):
    """Logits, and the features of the last hidden layer, before dropout."""

    logits: Float[Array, "batch classes"]
    features: Float[Array, "batch hidden"]


class Classifier(nn.Module):
    """Stride-2 convolutions, one dense layer, dropout, logits.

    Sequences go through two Transformer blocks instead of the convolutions, vectors
    through a dense layer. Dropout acts only where a key is given: evaluation is
    deterministic by construction.
    """

    num_classes: int
    features: tuple[int, ...] = (32, 64, 128)
    hidden_size: int = 256
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], dropout_key: jax.Array | None = None
    ) -> Reading:
        """x f32[B, H, W, C], f32[B, T, C] or f32[B, F] -> ``Reading``."""
        if x.ndim == 2:
            x = nn.relu(nn.Dense(self.hidden_size)(x))
        elif x.ndim == 3:
            x = TransformerTrunk((64, 64))(x)
        else:
            for size in self.features:
                x = nn.relu(Conv(size, 3, stride=2, padding=1)(x))
        seen = nn.relu(nn.Dense(self.hidden_size)(x.reshape(x.shape[0], -1)))
        dropout = nn.Dropout(self.dropout_rate, deterministic=dropout_key is None)
        kept = dropout(seen, rng=dropout_key)
        return Reading(nn.Dense(self.num_classes)(kept), seen)
