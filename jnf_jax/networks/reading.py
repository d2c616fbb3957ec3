"""What an encoder reads in the place of a view's values."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

READINGS = {
    "values": lambda x: (x,),
    "log1p": lambda x: (jnp.log1p(jnp.maximum(x, 0.0)),),
    "angle": lambda x: (jnp.sin(x), jnp.cos(x)),
}
"""Name in a config -> the channels that an encoder reads of x: counts over decades are
compressed, angles (radians) have no jump at a full turn."""


class ReadingTrunk(nn.Module):
    """A trunk on the channels of ``READINGS`` in the place of x, f32[B, ..., C].

    ::

        h = trunk( f_1(x), …, f_r(x), 1[x is missing] )       last axes concatenated

    With ``partial_entries`` x may be NaN where an entry is missing: zeros are read
    there, and a last group of channels tells zeros that are missing from others. It is
    all zeros where nothing is missing, so that h is then what it is without it.
    """

    trunk: nn.Module
    reads: str = "values"
    partial_entries: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."]) -> jax.Array:
        """f32[B, ..., C] -> the trunk's features f32[B, F]."""
        if not self.partial_entries:
            return self.trunk(jnp.concatenate(READINGS[self.reads](x), axis=-1))
        missing = jnp.isnan(x)
        channels = READINGS[self.reads](jnp.where(missing, 0.0, x))
        known = [jnp.where(missing, 0.0, channel) for channel in channels]
        return self.trunk(jnp.concatenate([*known, missing.astype(x.dtype)], axis=-1))
