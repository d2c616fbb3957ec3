"""From a modality's network description to modules."""

import dataclasses

import flax.linen as nn

from jnf_jax.networks.decoders import ACTIVATIONS, ConvDecoder, MlpDecoder
from jnf_jax.networks.gaussian import ConvTrunk, MlpTrunk
from jnf_jax.networks.reading import READINGS, ReadingTrunk
from jnf_jax.networks.residual import ResidualDecoder, ResidualTrunk
from jnf_jax.networks.sequence import NUM_HEADS, TransformerDecoder, TransformerTrunk
from jnf_jax.options import REQUIRED, option

KINDS = ("conv", "mlp", "residual", "transformer")
CONVOLUTIONAL = ("conv", "residual")

COMPUTE_DTYPES = ("float32", "bfloat16")
"""Types that trunks and decoders are computed in; parameters are always float32."""

Network = nn.Module
"""The rest of the package knows of a network that it has ``init`` and ``apply``."""


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """Networks of one modality: encoder trunk and mirrored decoder."""

    kind: str = option(
        REQUIRED,
        '"conv" (stride-2 convolutions, padding 1), "mlp", "residual" (blocks with '
        'pooling between them, `residual.py`) or "transformer" (`sequence.py`).',
        one_of=KINDS,
    )
    features: tuple[int, ...] = option(
        (),
        "Channels after each convolution or block, the width of a token once for each "
        'Transformer block; not of "mlp".',
        at_least=1,
    )
    kernel_size: int = option(4, 'Side of every convolution; "conv" only.', at_least=1)
    hidden_sizes: tuple[int, ...] = option(
        (), "Dense layers, after those or on the flat input.", at_least=1
    )
    activation: str = option(
        "sigmoid",
        'On the decoder\'s output: "sigmoid" or "identity".',
        one_of=ACTIVATIONS,
    )
    reads: str = option(
        "values",
        'What the encoder reads of x: "values", "log1p" (of counts), or "angle": sine '
        "and cosine of radians.",
        one_of=READINGS,
        came_later=True,
    )
    partial_entries: bool = option(
        False,
        "Whether rows may lack single entries of this view, NaN: the encoder is told "
        "which, and the likelihood is over the others.",
        came_later=True,
    )
    linear_path: bool = option(
        False,
        "Whether a linear map goes from x beside the encoder's dense layers, and from "
        'z beside the decoder\'s; of "mlp".',
        came_later=True,
    )

    def cross_faults(self, field: str) -> list[str]:
        """An "mlp" is nothing but its dense layers, and alone has a linear path."""
        if self.kind != "mlp" and self.linear_path:
            return [f"`{field}.linear_path` is True, expected False of {self.kind!r}"]
        if self.kind != "mlp" or self.hidden_sizes:
            return []
        return [f"`{field}.hidden_sizes` is empty, expected at least one size"]

    def shape_faults(self, field: str, shape: tuple[int, ...]) -> list[str]:
        """Why these networks are not for data of ``shape``, one line a fault."""
        check = {
            "conv": self._conv_faults,
            "residual": self._residual_faults,
            "transformer": self._transformer_faults,
        }.get(self.kind)
        return check(field, shape) if check else []

    def _residual_faults(self, field: str, shape: tuple[int, ...]) -> list[str]:
        factor = 2 ** max(len(self.features) - 1, 0)
        sizes = shape[:2] if len(shape) == 3 else (0,)
        if self.features and all(n >= 1 and n % factor == 0 for n in sizes):
            return []
        return [
            f"`{field}` is residual with features {self.features}: expected one or "
            "more and images [H, W, C] whose sides can be halved between them, got "
            f"shape {shape}"
        ]

    def _transformer_faults(self, field: str, shape: tuple[int, ...]) -> list[str]:
        found = []
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


def build_trunk(settings: NetworkSettings, dtype: str = "float32") -> nn.Module:
    """The encoder trunk: f32[B, ...] -> [B, features], computed in ``dtype``."""
    features, hidden = settings.features, settings.hidden_sizes
    trunk = {
        "conv": lambda: ConvTrunk(features, settings.kernel_size, hidden, dtype),
        "residual": lambda: ResidualTrunk(features, hidden),
        "transformer": lambda: TransformerTrunk(features, hidden),
        "mlp": lambda: MlpTrunk(hidden, dtype, settings.linear_path),
    }[settings.kind]()
    if settings.reads == "values" and not settings.partial_entries:
        return trunk
    return ReadingTrunk(trunk, settings.reads, settings.partial_entries)


def build_decoder(
    settings: NetworkSettings, shape: tuple[int, ...], dtype: str = "float32"
) -> nn.Module:
    """The decoder: f32[B, D] -> f32[B, *shape], computed in ``dtype``."""
    features, side = settings.features, settings.kernel_size
    last = settings.hidden_sizes[::-1], settings.activation
    return {
        "conv": lambda: ConvDecoder(shape, features, side, *last, dtype),
        "residual": lambda: ResidualDecoder(shape, features, *last),
        "transformer": lambda: TransformerDecoder(shape, features, *last),
        "mlp": lambda: MlpDecoder(shape, *last, dtype, settings.linear_path),
    }[settings.kind]()
