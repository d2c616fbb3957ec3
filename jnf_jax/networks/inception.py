"""Inception-v3 up to its last average pool ("pool3"), the network of the FID.

Szegedy et al. (arXiv 1512.00567) as TensorFlow's graph of 2015-12-05 has it, whose
weights the pytorch-fid package ported: 3 × 3 average pools count no padding, and the
pool of the last block takes the maximum. Batch normalisation is folded into the
convolutions: in evaluation it is one factor and one shift a channel. The file with the
weights, and its SHA-256, are `WEIGHTS_URL` and `WEIGHTS_SHA256`; nothing fetches it.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.networks.conv import Maps, Pictures
from jnf_jax.types import Params

WEIGHTS_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""As public repositories state it; not checked by us against the file."""

NUM_FEATURES = 2048
SIDE = 299
"""Pictures are resized to this height and width."""

NORM_EPSILON = 1e-3


Branches = Callable[[jax.Array], list[jax.Array]]
"""Branches side by side on f32[B, H, W, C], made of layers of the calling module."""


def _conv(x, name, features, kernel=(1, 1), stride=1, padding=None):
    """Convolution and ReLU; padded to keep the size unless it has a stride."""
    # Accelerators round what goes into a convolution unless told not to, and published
    # distances were measured in float32.
    padding = padding or ("SAME" if stride == 1 else "VALID")
    exact = jax.lax.Precision.HIGHEST
    layer = nn.Conv(features, kernel, stride, padding, precision=exact, name=name)
    return nn.relu(layer(x))


def _row(x, name, *layers):
    """Convolutions one after the other, each (features, kernel, stride)."""
    for number, layer in enumerate(layers, start=1):
        x = _conv(x, f"{name}_{number}", *layer)
    return x


def _average(x):
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def _halve(x):
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")


def _block_a(pool_features: int) -> Branches:
    return lambda x: [
        _conv(x, "branch1x1", 64),
        _row(x, "branch5x5", (48,), (64, (5, 5))),
        _row(x, "branch3x3dbl", (64,), (96, (3, 3)), (96, (3, 3))),
        _conv(_average(x), "branch_pool", pool_features),
    ]


def _block_b(x: jax.Array) -> list[jax.Array]:
    return [
        _conv(x, "branch3x3", 384, (3, 3), 2),
        _row(x, "branch3x3dbl", (64,), (96, (3, 3)), (96, (3, 3), 2)),
        _halve(x),
    ]


def _block_c(width: int) -> Branches:
    wide, high = (width, (1, 7)), (width, (7, 1))
    last = (192, (1, 7))
    return lambda x: [
        _conv(x, "branch1x1", 192),
        _row(x, "branch7x7", (width,), wide, (192, (7, 1))),
        _row(x, "branch7x7dbl", (width,), high, wide, high, last),
        _conv(_average(x), "branch_pool", 192),
    ]


def _block_d(x: jax.Array) -> list[jax.Array]:
    row = ((192,), (192, (1, 7)), (192, (7, 1)), (192, (3, 3), 2))
    return [
        _row(x, "branch3x3", (192,), (320, (3, 3), 2)),
        _row(x, "branch7x7x3", *row),
        _halve(x),
    ]


def _block_e(pool: Callable[[jax.Array], jax.Array]) -> Branches:
    def fork(x, name):
        return [_conv(x, f"{name}a", 384, (1, 3)), _conv(x, f"{name}b", 384, (3, 1))]

    return lambda x: [
        _conv(x, "branch1x1", 320),
        *fork(_row(x, "branch3x3", (384,)), "branch3x3_2"),
        *fork(_row(x, "branch3x3dbl", (448,), (384, (3, 3))), "branch3x3dbl_3"),
        _conv(pool(x), "branch_pool", 192),
    ]


BLOCKS: dict[str, Branches] = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": _block_b,
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": _block_d,
    "Mixed_7b": _block_e(_average),
    "Mixed_7c": _block_e(lambda x: nn.max_pool(x, (3, 3), (1, 1), "SAME")),
}
"""Name, as in the file, -> branches."""


class Block(nn.Module):
    """Branches side by side, their channels concatenated."""

    branches: Branches

    @nn.compact
    def __call__(self, x: Pictures) -> Maps:
        return jnp.concatenate(self.branches(x), axis=-1)


class Inception(nn.Module):
    """Pictures -> features of "pool3"."""

    @nn.compact
    def __call__(
        self, pictures: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch features"]:
        """pictures f32[B, H, W, 3] in [0, 1] -> f32[B, 2048].

        Resized bilinearly to 299 × 299, without smoothing where that is smaller, and
        scaled to [−1, 1].
        """
        shape, exact = (len(pictures), SIDE, SIDE, 3), jax.lax.Precision.HIGHEST
        x = 2 * jax.image.resize(pictures, shape, "bilinear", False, exact) - 1
        x = _conv(x, "Conv2d_1a_3x3", 32, (3, 3), 2)
        x = _conv(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
        x = _halve(_conv(x, "Conv2d_2b_3x3", 64, (3, 3)))
        x = _conv(x, "Conv2d_3b_1x1", 80)
        x = _halve(_conv(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID"))
        for name, branches in BLOCKS.items():
            x = Block(branches, name=name)(x)
        return x.mean((1, 2))


def from_torch(tensors: Mapping[str, np.ndarray]) -> Params:
    """Parameters of `Inception` from those of torchvision's layers.

    ::

        y = γ (W∗x − μ) / √(σ² + ε) + β  =  (γ/√(σ² + ε) W)∗x + β − γ μ/√(σ² + ε)

    ``tensors`` are the ``state_dict()`` of the network in the pytorch-fid package, with
    names as ``Mixed_5b.branch1x1.conv.weight``; the parameters are f32 on the host.

    Raises:
        ValueError: Names that are missing or unknown, or a wrong shape.
    """
    pictures = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    shapes = jax.eval_shape(Inception().init, jax.random.key(0), pictures)["params"]
    left = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(("fc.", "AuxLogits."))
        and not name.endswith(".num_batches_tracked")
    }

    def take(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in left:
            raise ValueError(f"`tensors` has no {name!r}, expected shape {shape}")
        tensor = left.pop(name)
        if tensor.shape != shape:
            raise ValueError(
                f"`tensors[{name!r}]` has shape {tensor.shape}, expected {shape}"
            )
        return tensor.astype(np.float64)

    def fold(path: tuple[str, ...], kernel: jax.ShapeDtypeStruct) -> dict:
        *size, inputs, outputs = kernel.shape
        name, channels = ".".join(path), (outputs,)
        weight = take(f"{name}.conv.weight", (outputs, inputs, *size))
        gamma = take(f"{name}.bn.weight", channels)
        variance = take(f"{name}.bn.running_var", channels)
        factor = gamma / np.sqrt(variance + NORM_EPSILON)
        mean = take(f"{name}.bn.running_mean", channels)
        bias = take(f"{name}.bn.bias", channels) - factor * mean
        weight = weight.transpose(2, 3, 1, 0) * factor
        return {"kernel": weight.astype(np.float32), "bias": bias.astype(np.float32)}

    def convert(tree: Mapping, path: tuple[str, ...]) -> dict:
        if "kernel" in tree:
            return fold(path, tree["kernel"])
        return {name: convert(part, (*path, name)) for name, part in tree.items()}

    params = convert(shapes, ())
    if left:
        raise ValueError(f"`tensors` has unknown names {sorted(left)[:3]}")
    return params
