"""`circles_squares`: the toy set of the JNF paper, where one bit is shared.

Source: arXiv 2502.03952 and its authors' data script, from whose description this
generator is written anew. A circle (L2 ball) and a square (L1 ball, a diamond) are both
filled or both rings; their radii are independent. So p(z | x_j) is broad along the
other picture's radius, and only the full/empty bit goes across. With ``noise`` each
picture has smooth waves of its own as well: private detail of any size [ours].
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from jnf_jax.data import dataset
from jnf_jax.options import option

SIZE = 32
RADII = (0.3, 0.9)
HALF_THICKNESS = 0.125
MODALITIES = ("circle", "square")
NUM_WAVES = 3
"""Wave numbers a side; a picture's waves have NUM_WAVES² − 1 coefficients."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of `circles_squares`; the sizes are the paper's."""

    seed: int = option(42, "Seed of radii and bits.", between=(0, 2**31 - 1))
    num_train: int = option(140_000, "Pairs to train on.", between=(2, 10**7))
    num_validation: int = option(30_000, "Pairs to select by.", between=(2, 10**7))
    num_test: int = option(30_000, "Pairs held out.", between=(2, 10**7))
    noise: float = option(
        0.0,
        "Largest amount a by which a picture's waves move a pixel towards the other "
        "side; below 1/2 every pixel still tells ink from paper.",
        between=(0, 0.5),
    )


def distances() -> dict[str, np.ndarray]:
    """Each modality's norm ρ on the grid of [−1, 1]²: f32[SIZE, SIZE]."""
    ticks = np.linspace(-1.0, 1.0, SIZE)
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    norms = (np.sqrt(x**2 + y**2), np.abs(x) + np.abs(y))
    return {
        name: norm.astype(np.float32)
        for name, norm in zip(MODALITIES, norms, strict=True)
    }


def render(
    norm: Float[np.ndarray, "height width"],
    radii: Float[Array, " batch"],
    filled: UInt8[Array, " batch"],
) -> Float[Array, "batch height width 1"]:
    """Pictures: ρ ≤ r where filled, |ρ − r| ≤ 1/8 where not; 1 on ink, else 0."""
    beyond = norm - radii[:, None, None]
    ring = jnp.abs(beyond) <= HALF_THICKNESS
    ink = jnp.where(filled[:, None, None] > 0, beyond <= 0.0, ring)
    return ink[..., None].astype(jnp.float32)


def waves(
    coefficients: Float[Array, "batch coefficients"],
) -> Float[Array, "batch height width 1"]:
    """A smooth picture in (0, 1) for each row: 1 / (1 + exp(−2 Σ_k c_k φ_k)).

    φ_k are the products of cos(π k_x (x + 1)/2) and cos(π k_y (y + 1)/2) with k_x and
    k_y below `NUM_WAVES`, the constant left out.
    """
    ticks = np.linspace(0.0, np.pi, SIZE)
    along = np.cos(np.arange(NUM_WAVES)[:, None] * ticks)
    products = np.einsum("ih,jw->ijhw", along, along).reshape(-1, SIZE, SIZE)[1:]
    field = jnp.einsum("bk,khw->bhw", coefficients, products.astype(np.float32))
    return jax.nn.sigmoid(2.0 * field)[..., None]


def fetch(
    arrays: Mapping[str, Array | np.ndarray],
    indices: Int[Array, " batch"] | Int[np.ndarray, " batch"],
) -> dict[str, Float[Array, "batch height width 1"]]:
    """Renders pairs: {"circle", "square"}: f32[B, 32, 32, 1].

    ``arrays`` are ``radii`` f32[N, 2], a column for each of `MODALITIES`, and
    ``filled`` u8[N]; pictures are then 0 or 1. With ``coefficients`` f32[N, 2, K] of
    `waves` and ``noise`` a, f32[], they are |ink − a · waves|.
    """
    indices = jnp.asarray(indices)
    radii = jnp.asarray(arrays["radii"])[indices]
    filled = jnp.asarray(arrays["filled"])[indices]
    pictures = {}
    for column, (name, norm) in enumerate(distances().items()):
        pictures[name] = render(norm, radii[:, column], filled)
        if "noise" in arrays:
            own = waves(jnp.asarray(arrays["coefficients"])[indices][:, column])
            pictures[name] = jnp.abs(pictures[name] - arrays["noise"] * own)
    return pictures


def is_filled(pictures: Float[Array, "*batch height width 1"]) -> Bool[Array, "*batch"]:
    """The full/empty bit that a picture shows: is the middle more ink than not?

    The 12 pixels with |x| + |y| < 0.15 are ink in every filled shape and empty in every
    ring, whichever the modality, so the bit of a true picture is always read right.
    """
    middle = jnp.asarray(distances()["square"] < 0.15)
    ink = jnp.where(middle, pictures[..., 0], 0.0).sum((-2, -1))
    return ink / middle.sum() > 0.5


def load(settings: Settings) -> dataset.Dataset:
    """Draws radii and bits; half of each split is filled, in random order."""
    sizes = (settings.num_train, settings.num_validation, settings.num_test)
    splits = {}
    for split, size in zip(dataset.SPLITS, sizes, strict=True):
        rng = dataset.generator(settings.seed, "circles_squares", split)
        radii = rng.uniform(*RADII, (size, len(MODALITIES))).astype(np.float32)
        filled = rng.permutation(np.arange(size, dtype=np.int32) % 2)
        arrays = {"radii": radii, "filled": filled.astype(np.uint8)}
        if settings.noise:
            # Of unit variance together, so that waves reach most of their range.
            shape = (size, len(MODALITIES), NUM_WAVES**2 - 1)
            coefficients = rng.standard_normal(shape) / np.sqrt(shape[-1] / 2)
            arrays["coefficients"] = coefficients.astype(np.float32)
            arrays["noise"] = np.asarray(settings.noise, np.float32)
        splits[split] = dataset.Split(arrays, size, filled)
    suffix = f"_noise_{settings.noise:g}" if settings.noise else ""
    return dataset.Dataset(
        name=f"circles_squares{suffix}",
        shapes=dict.fromkeys(MODALITIES, (SIZE, SIZE, 1)),
        splits=splits,
        fetch=fetch,
        num_classes=2,
        record=dataset.build_record(settings, splits),
        read_label=is_filled,
    )
