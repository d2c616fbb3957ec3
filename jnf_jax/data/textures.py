"""Procedural colour textures: backgrounds that need no download and no licence.

A texture is a scalar field (clouds, stripes, cells, ridges or weave, each with several
octaves of detail), flattened to a uniform histogram, given tones of our choice and a
colour that drifts. Only sums, products, square roots and comparisons of doubles touch
the pixels, all exactly rounded, so a seed gives the same bytes on every machine.
"""

import colorsys

import numpy as np
from jaxtyping import UInt8

from jnf_jax.data.dataset import generator

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""


def value_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth periodic noise f64[size, size] in [0, 1] on a lattice of `cells`² values.

    Neighbouring lattice values are blended with the weight 3t² − 2t³, so that the
    wavelength is about 2·size/cells pixels.
    """
    lattice = rng.random((cells, cells))
    position = np.arange(size) * (cells / size)
    low = np.floor(position).astype(int)
    t = position - low
    weight = t * t * (3.0 - 2.0 * t)
    low, high = low % cells, (low + 1) % cells
    rows = lattice[low] * (1.0 - weight)[:, None] + lattice[high] * weight[:, None]
    return rows[:, low] * (1.0 - weight) + rows[:, high] * weight


def octaves(
    rng: np.random.Generator, size: int, cells: int, *, num: int = 4, gain: float = 0.55
) -> np.ndarray:
    """Σ_k gain^k · noise at 2^k · cells, over Σ_k gain^k: f64[size, size] in [0, 1]."""
    weights = [gain**k for k in range(num)]
    layers = [value_noise(rng, size, cells * 2**k) for k in range(num)]
    mixed = sum(w * layer for w, layer in zip(weights, layers, strict=True))
    return mixed / sum(weights)


def triangle(phase: np.ndarray) -> np.ndarray:
    """A wave of period 1 in [0, 1] with rounded turns (blended like the noise)."""
    t = np.abs(2.0 * (phase - np.floor(phase)) - 1.0)
    return t * t * (3.0 - 2.0 * t)


def _clouds(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    return octaves(rng, size, cells, gain=0.52)


def _stripes(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    y, x = np.meshgrid(*[np.arange(size) / size] * 2, indexing="ij")
    warp = octaves(rng, size, max(cells // 2, 2))
    wave = triangle(0.6 * cells * (x + 0.5 * y) + 2.5 * warp)
    return wave + 0.9 * octaves(rng, size, cells)


def _cells(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Distance to the nearest of jittered points (Worley noise), plus detail."""
    y, x = np.meshgrid(*[np.arange(size) * (cells / size)] * 2, indexing="ij")
    jitter = rng.random((cells, cells, 2))
    nearest = np.full((size, size), np.inf)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row, column = np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx
            point = jitter[row % cells, column % cells]
            rise, run = row + point[..., 0] - y, column + point[..., 1] - x
            nearest = np.minimum(nearest, rise**2 + run**2)
    return np.sqrt(nearest) + 0.6 * octaves(rng, size, cells)


def _ridges(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    folded = np.abs(2.0 * octaves(rng, size, cells, gain=0.5) - 1.0)
    return folded + 0.35 * octaves(rng, size, cells)


def _weave(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    y, x = np.meshgrid(*[np.arange(size) / size] * 2, indexing="ij")
    warp_y, warp_x = octaves(rng, size, cells // 2), octaves(rng, size, cells // 2)
    across = triangle(0.6 * cells * x + 1.2 * warp_x)
    along = triangle(0.6 * cells * y + 1.2 * warp_y)
    return np.maximum(across, along) + 0.7 * octaves(rng, size, cells)


FIELDS = (_clouds, _stripes, _cells, _ridges, _weave)
HUES = (0.56, 0.98, 0.38, 0.78, 0.15)

TONES = ((0.0, 0.05), (0.58, 0.34), (0.68, 0.66), (1.0, 0.82))
"""(Share of pixels, their highest luminance), linear in between: dark, a step, light.

Inverting a middle grey changes nothing, so few pixels are near 1/2. Both sides are
common, so a linear classifier cannot tell ink by its brightness.
"""

CHROMA = 0.24
LEAN = 0.92
"""How far colours lean to a texture's own hue. They vary by more than that all around
it, as inverting a colour that all pixels share would mark ink for a linear classifier.
"""

ACROSS = 0.8


def equalise(field: np.ndarray) -> np.ndarray:
    """Ranks of the values, spread evenly over [0, 1): one histogram for all fields."""
    ranks = np.empty(field.size)
    ranks[np.argsort(field, axis=None, kind="stable")] = np.arange(field.size)
    return ranks.reshape(field.shape) / field.size


def _tones(field: np.ndarray) -> np.ndarray:
    """`TONES` of an equalised field (the last bit of `np.interp` may vary)."""
    grey = np.full(field.shape, TONES[0][1])
    for (start, low), (stop, high) in zip(TONES[:-1], TONES[1:], strict=True):
        grey += (high - low) / (stop - start) * np.clip(field - start, 0, stop - start)
    return grey


def _tint(rng: np.random.Generator, index: int, size: int, cells: int) -> np.ndarray:
    """Colour without luminance, f64[size, size, 3]: two slow fields in its plane."""
    along, across = (
        2.0 * equalise(octaves(rng, size, max(cells // 3, 2))) - 1.0 for _ in range(2)
    )
    hue = HUES[index % len(HUES)] + 0.381966 * (index // len(HUES))
    colour = np.array(colorsys.hsv_to_rgb(hue % 1.0, 1.0, 1.0))
    first = colour - (colour * LUMA).sum()
    second = np.cross(LUMA, first)
    first, second = (axis / np.sqrt((axis * axis).sum()) for axis in (first, second))
    return (LEAN + along)[..., None] * first + (ACROSS * across)[..., None] * second


def texture(
    index: int, *, seed: int, size: int = 256, wavelength: float = 30.0
) -> UInt8[np.ndarray, "size size 3"]:
    """One colour texture; its kind, hue and noise follow from (seed, index).

    There are five kinds, then the same with other hues and noise. The largest features
    are ``wavelength`` pixels, detail is 1/2, 1/4 and 1/8 of it, and colours drift over
    3 times it.
    """
    rng = generator(seed, "texture", index)
    cells = max(round(2 * size / wavelength), 4)
    field = equalise(FIELDS[index % len(FIELDS)](rng, size, cells))
    grey = _tones(field)
    # Tint fades towards black, where colours would clip and shift the luminance.
    strength = CHROMA * (0.35 + 0.65 * field)
    tint = _tint(rng, index, size, cells)
    pixels = grey[..., None] + strength[..., None] * tint
    return np.round(255.0 * np.clip(pixels, 0.0, 1.0)).astype(np.uint8)
