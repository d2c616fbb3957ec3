# %% [markdown]
# # A data set of your own
#
# Three views of one thing: a photo as bytes, an assay of twelve numbers, and a track of
# 24 points in the plane as floats. What they share is a class, and a phase; the rest is
# noise of each view. Written a part at a time, a set may be larger than the memory:
#
#     python examples/own_data.py runs/own/data
#     python -m jnf_jax.train --config configs/records/jnf.py \
#         --config.data.records_dir=runs/own/data --workdir runs/own/jnf
#     python -m jnf_jax.sample --workdir runs/own/jnf --given assay --num 16 \
#         --out runs/own/given_assay.png

# %%
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jnf_jax.data import record_files

NUM_CLASSES = 4
SIZES = {"train": 4_000, "validation": 500, "test": 500}
SIDE, NUM_ASSAYS, NUM_POINTS = 16, 12, 24


# %% [markdown]
# One function draws b tuples: every view has its own shape, and bytes or floats.


# %%
def draw(rng: np.random.Generator, b: int) -> record_files.Part:
    """photo u8[b, 16, 16, 1], assay f32[b, 12], track f32[b, 24, 2]; labels i32[b]."""
    label, phase = rng.integers(NUM_CLASSES, size=b), rng.uniform(0, 2 * np.pi, b)
    waves = label + 1

    x = np.linspace(-1, 1, SIDE)
    stripes = np.sin(np.pi * waves[:, None, None] * x + phase[:, None, None])
    noise = rng.normal(0, 0.1, (b, SIDE, SIDE))
    photo = np.clip(128 + 90 * (stripes + noise), 0, 255).astype(np.uint8)[..., None]

    angles = 2 * np.pi * np.arange(NUM_ASSAYS) / NUM_ASSAYS
    assay = np.cos(waves[:, None] * angles + phase[:, None])
    assay += rng.normal(0, 0.2, assay.shape)

    t = np.linspace(0, 2 * np.pi, NUM_POINTS)
    turn = t + phase[:, None]
    track = np.stack([np.cos(turn), np.sin(waves[:, None] * turn)], axis=-1)
    track += rng.normal(0, 0.05, track.shape)

    views = {
        "photo": photo,
        "assay": assay.astype(np.float32),
        "track": track.astype(np.float32),
    }
    return views, label.astype(np.int32)


# %% [markdown]
# And the writer takes them in parts of any size.


# %%
def parts(seed: int, size: int, each: int = 1_000) -> Iterator[record_files.Part]:
    """``size`` tuples, ``each`` at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, size, each):
        yield draw(rng, min(each, size - start))


def main(folder: Path, sizes: dict[str, int] = SIZES) -> None:
    """Writes the three splits to ``folder``."""
    splits = {name: parts(seed, n) for seed, (name, n) in enumerate(sizes.items())}
    record_files.write(folder, name="own", num_classes=NUM_CLASSES, splits=splits)
    print(f"wrote {folder}: {sizes}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
