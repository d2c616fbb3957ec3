"""From a modality's network description to modules."""

import dataclasses

import flax.linen as nn

from jnf_jax.networks.decoders import ACTIVATIONS, ConvDecoder, MlpDecoder
from jnf_jax.networks.gaussian import ConvTrunk, MlpTrunk
from jnf_jax.networks.resnet import ResidualDecoder, ResidualTrunk
from jnf_jax.networks.sequence import (
    NUM_HEADS,
    TransformerDecoder,
    TransformerTrunk,
)

KINDS = ("conv", "mlp", "resnet", "transformer")
CONVOLUTIONAL = ("conv", "resnet")

Network = nn.Module
"""What the rest of the package knows of a network: ``init`` and ``apply``."""


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Networks of one modality: encoder trunk and mirrored decoder.

    Attributes:
        kind: "conv" (stride-2 convolutions, padding 1), "mlp", "resnet" or
            "transformer".
        features: Channels after each convolution or residual block; or, for
            "transformer", the width of a token, once for each block.
        kernel_size: Of every convolution; "conv" only.
        hidden_sizes: Dense layers, after those or on the flat input.
        activation: On the decoder's output: "sigmoid" or "identity".
    """

    kind: str
    features: tuple[int, ...] = ()
    kernel_size: int = 4
    hidden_sizes: tuple[int, ...] = ()
    activation: str = "sigmoid"

    def faults(self, field: str, shape: tuple[int, ...]) -> list[str]:
        """What is wrong with these settings for images of ``shape``, one line each."""
        found = []
        if self.kind not in KINDS:
            found.append(f"`{field}.kind` is {self.kind!r}, expected one of {KINDS}")
        if self.activation not in ACTIVATIONS:
            found.append(
                f"`{field}.activation` is {self.activation!r}, expected one of "
                f"{tuple(ACTIVATIONS)}"
            )
        if self.kind == "mlp" and not self.hidden_sizes:
            found.append(f"`{field}.hidden_sizes` is empty, expected at least one size")
        if min((*self.hidden_sizes, *self.features, self.kernel_size)) < 1:
            found.append(f"`{field}` has sizes below 1: {self}")
            return found
        if self.kind == "conv":
            found += self._conv_faults(field, shape)
        if self.kind == "resnet":
            factor = 2 ** max(len(self.features) - 1, 0)
            sides = shape[:2] if len(shape) == 3 else (1, 1)
            if not self.features or len(shape) != 3 or any(n % factor for n in sides):
                found.append(
                    f"`{field}` is residual with features {self.features}: expected "
                    f"one or more and images [H, W, C] whose sides are multiples of "
                    f"{factor}, got shape {shape}"
                )
        if self.kind == "transformer":
            if len(shape) != 2:
                found.append(
                    f"`{field}.kind` is 'transformer', expected a sequence [tokens, "
                    f"channels], got shape {shape}"
                )
            if len(set(self.features)) != 1 or self.features[0] % NUM_HEADS:
                found.append(
                    f"`{field}.features` is {self.features}, expected one width, a "
                    f"multiple of {NUM_HEADS}, repeated for each Transformer block"
                )
        return found

    def _conv_faults(self, field: str, shape: tuple[int, ...]) -> list[str]:
        sizes, mirrored = shape[:2], len(shape) == 3
        for _ in self.features:
            steps = [n + 2 - self.kernel_size for n in sizes]
            # The decoder pads both sides of a picture alike.
            mirrored = mirrored and len({n % 2 for n in steps}) == 1
            sizes = [n // 2 + 1 for n in steps]
        if not self.features or not mirrored:
            return [
                f"`{field}` is convolutional with features {self.features}: expected "
                "one or more and images [H, W, C] whose sides are odd and even in the "
                f"same layers, got shape {shape}"
            ]
        if min(sizes) < 1:
            return [
                f"`{field}.features` has {len(self.features)} stride-2 layers: too "
                f"many for images of shape {shape}"
            ]
        return []


def build_trunk(settings: NetworkSettings) -> nn.Module:
    """The encoder trunk: f32[B, ...] -> f32[B, features]."""
    if settings.kind == "conv":
        return ConvTrunk(settings.features, settings.kernel_size, settings.hidden_sizes)
    if settings.kind == "resnet":
        return ResidualTrunk(settings.features, settings.hidden_sizes)
    if settings.kind == "transformer":
        return TransformerTrunk(settings.features, settings.hidden_sizes)
    return MlpTrunk(settings.hidden_sizes)


def build_decoder(settings: NetworkSettings, shape: tuple[int, ...]) -> nn.Module:
    """The decoder: f32[B, D] -> f32[B, *shape]."""
    hidden_sizes = settings.hidden_sizes[::-1]
    if settings.kind == "conv":
        return ConvDecoder(
            shape,
            settings.features,
            settings.kernel_size,
            hidden_sizes,
            settings.activation,
        )
    if settings.kind == "resnet":
        return ResidualDecoder(
            shape, settings.features, hidden_sizes, settings.activation
        )
    if settings.kind == "transformer":
        return TransformerDecoder(
            shape, settings.features, hidden_sizes, settings.activation
        )
    return MlpDecoder(shape, hidden_sizes, settings.activation)
