"""Inception-v3 up to its last average pool ("pool3"), the network of the FID.

Szegedy et al. (arXiv 1512.00567) as TensorFlow's graph of 2015-12-05 has it, whose
weights the pytorch-fid package ported: 3 × 3 average pools count no padding, and the
pool of the last block takes the maximum. Batch normalisation is folded into the
convolutions: in evaluation it is one factor and one shift a channel. The file with the
weights, and its SHA-256, are `WEIGHTS_URL` and `WEIGHTS_SHA256`; nothing fetches it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jnf_jax.types import Params

WEIGHTS_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of that file as public repositories state it; not checked by us against the file."""

NUM_FEATURES = 2048
SIDE = 299
"""Pictures are resized to this height and width."""

NORM_EPSILON = 1e-3


class Conv(NamedTuple):
    """Convolution and ReLU; padded to keep the size unless it has a stride."""

    name: str
    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


class Pool(NamedTuple):
    """A 3 × 3 pool, "average" or "maximum"; padded likewise."""

    kind: str
    stride: int = 1


class Fork(NamedTuple):
    """The two ends of a branch, side by side on what comes before."""

    ends: tuple[Conv, Conv]


Branch = tuple[Conv | Pool | Fork, ...]
"""Layers in a row; a block concatenates its branches' channels."""


def _block_a(pool_features: int) -> tuple[Branch, ...]:
    return (
        (Conv("branch1x1", 64),),
        (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3)),
        ),
        (Pool("average"), Conv("branch_pool", pool_features)),
    )


def _block_c(width: int) -> tuple[Branch, ...]:
    return (
        (Conv("branch1x1", 192),),
        (
            Conv("branch7x7_1", width),
            Conv("branch7x7_2", width, (1, 7)),
            Conv("branch7x7_3", 192, (7, 1)),
        ),
        (
            Conv("branch7x7dbl_1", width),
            Conv("branch7x7dbl_2", width, (7, 1)),
            Conv("branch7x7dbl_3", width, (1, 7)),
            Conv("branch7x7dbl_4", width, (7, 1)),
            Conv("branch7x7dbl_5", 192, (1, 7)),
        ),
        (Pool("average"), Conv("branch_pool", 192)),
    )


def _block_e(pool: str) -> tuple[Branch, ...]:
    def fork(name: str) -> Fork:
        wide, high = Conv(f"{name}a", 384, (1, 3)), Conv(f"{name}b", 384, (3, 1))
        return Fork((wide, high))

    return (
        (Conv("branch1x1", 320),),
        (Conv("branch3x3_1", 384), fork("branch3x3_2")),
        (
            Conv("branch3x3dbl_1", 448),
            Conv("branch3x3dbl_2", 384, (3, 3)),
            fork("branch3x3dbl_3"),
        ),
        (Pool(pool), Conv("branch_pool", 192)),
    )


BLOCKS: dict[str, tuple[Branch, ...]] = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": (
        (Conv("branch3x3", 384, (3, 3), 2),),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3), 2),
        ),
        (Pool("maximum", 2),),
    ),
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": (
        (Conv("branch3x3_1", 192), Conv("branch3x3_2", 320, (3, 3), 2)),
        (
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            Conv("branch7x7x3_4", 192, (3, 3), 2),
        ),
        (Pool("maximum", 2),),
    ),
    "Mixed_7b": _block_e("average"),
    "Mixed_7c": _block_e("maximum"),
}
"""Name, as in the file, -> branches."""


class Block(nn.Module):
    """Branches side by side, their channels concatenated."""

    branches: tuple[Branch, ...]

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch new_height new_width features"]:
        """x f32[B, H, W, C] -> f32[B, H', W', F]."""
        ends = []
        for branch in self.branches:
            h = x
            for layer in branch:
                h = _apply(layer, h)
            ends.append(h)
        return jnp.concatenate(ends, axis=-1)


def _apply(layer: Conv | Pool | Fork, x: jax.Array) -> jax.Array:
    """One layer, its parameters those of the module that is being called."""
    if isinstance(layer, Fork):
        return jnp.concatenate([_apply(end, x) for end in layer.ends], axis=-1)
    padding = "SAME" if layer.stride == 1 else "VALID"
    if isinstance(layer, Conv):
        return _conv(layer, x, padding)
    strides = (layer.stride, layer.stride)
    if layer.kind == "maximum":
        return nn.max_pool(x, (3, 3), strides, padding)
    return nn.avg_pool(x, (3, 3), strides, padding, count_include_pad=False)


def _conv(layer: Conv, x: jax.Array, padding: str) -> jax.Array:
    # Accelerators round what goes into a convolution unless told not to, and published
    # distances were measured in float32.
    convolve = nn.Conv(
        layer.features,
        layer.kernel,
        layer.stride,
        padding,
        precision=jax.lax.Precision.HIGHEST,
        name=layer.name,
    )
    return nn.relu(convolve(x))


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
        shape = (len(pictures), SIDE, SIDE, 3)
        x = jax.image.resize(
            pictures,
            shape,
            "bilinear",
            antialias=False,
            precision=jax.lax.Precision.HIGHEST,
        )
        x = 2 * x - 1
        x = _conv(Conv("Conv2d_1a_3x3", 32, (3, 3), 2), x, "VALID")
        x = _conv(Conv("Conv2d_2a_3x3", 32, (3, 3)), x, "VALID")
        x = _conv(Conv("Conv2d_2b_3x3", 64, (3, 3)), x, "SAME")
        x = _apply(Pool("maximum", 2), x)
        x = _conv(Conv("Conv2d_3b_1x1", 80), x, "VALID")
        x = _conv(Conv("Conv2d_4a_3x3", 192, (3, 3)), x, "VALID")
        x = _apply(Pool("maximum", 2), x)
        for name, branches in BLOCKS.items():
            x = Block(branches, name=name)(x)
        return x.mean((1, 2))


def from_torch(tensors: Mapping[str, np.ndarray]) -> Params:
    """Parameters of `Inception` from those of torchvision's layers.

    ::

        y = γ (W∗x − μ) / √(σ² + ε) + β  =  (γ/√(σ² + ε) W)∗x + β − γ μ/√(σ² + ε)

    Args:
      tensors: ``state_dict()`` of the network in the pytorch-fid package, names as
        ``Mixed_5b.branch1x1.conv.weight``; f32.

    Returns:
      Parameters, f32 on the host.

    Raises:
      ValueError: names that are missing or unknown, or a wrong shape.
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
