# %% [markdown]
# # A data set of your own
#
# Three views of one thing: a photo as bytes, an assay of twelve numbers, and a track of
# 24 points in the plane. What they share is a class, and a phase; the rest is noise of
# each view. `fit` takes the arrays, chooses networks and likelihoods by their shapes,
# and prints what it chose.

# %%
import sys
from pathlib import Path

import numpy as np

import jnf_jax

NUM_CLASSES = 4
SIDE, NUM_ASSAYS, NUM_POINTS = 16, 12, 24


# %%
def draw(seed: int, n: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """photo u8[n, 16, 16, 1], assay f64[n, 12], track f64[n, 24, 2]; labels i64[n]."""
    rng = np.random.default_rng(seed)
    label, phase = rng.integers(NUM_CLASSES, size=n), rng.uniform(0, 2 * np.pi, n)
    waves = label + 1

    x = np.linspace(-1, 1, SIDE)
    stripes = np.sin(np.pi * waves[:, None, None] * x + phase[:, None, None])
    noise = rng.normal(0, 0.1, (n, SIDE, SIDE))
    photo = np.clip(128 + 90 * (stripes + noise), 0, 255).astype(np.uint8)[..., None]

    angles = 2 * np.pi * np.arange(NUM_ASSAYS) / NUM_ASSAYS
    assay = np.cos(waves[:, None] * angles + phase[:, None])
    assay = 50 + 10 * (assay + rng.normal(0, 0.2, assay.shape))  # in any units

    t = np.linspace(0, 2 * np.pi, NUM_POINTS)
    turn = t + phase[:, None]
    track = np.stack([np.cos(turn), np.sin(waves[:, None] * turn)], axis=-1)
    track += rng.normal(0, 0.05, track.shape)
    return {"photo": photo, "assay": assay, "track": track}, label


# %% [markdown]
# Fitted, the model draws any view from any others, of rows that it has never seen, and
# tells how probable they are. Every field of the config can be overridden by its dotted
# name, as the scale of a likelihood, here in standard deviations of the data.


# %%
def main(workdir: Path, size: int = 5_000, overrides: dict | None = None) -> None:
    """Fits in ``workdir``, then asks the model for three new things' tracks."""
    views, labels = draw(seed=0, n=size)
    overrides = {"model.likelihoods.assay.scale": 0.25} | (overrides or {})
    model = jnf_jax.fit(views, labels, workdir=workdir, overrides=overrides)

    new, _ = draw(seed=1, n=3)
    given = {m: new[m] for m in ("photo", "assay")}
    tracks = model.generate(given, targets=["track"], num_samples=8)["track"]
    error = np.sqrt(np.mean((tracks.mean(0) - new["track"]) ** 2))
    bound = model.log_likelihood_bound(new, given=["photo", "assay"])
    print(f"tracks {tracks.shape}, off by {error:.2f}; log p {bound.round(1)} nats")


# %% [markdown]
# The folder is a run like any other: measure it, draw from it, load it again.
#
#     python examples/own_data.py runs/own
#     python -m jnf_jax.evaluate --workdir runs/own
#     python -m jnf_jax.sample --workdir runs/own --given assay --out given_assay.png
#     python -c "import jnf_jax; print(jnf_jax.load('runs/own').sample(2)['assay'])"
#
# A set that is larger than the memory is written a part at a time by
# `jnf_jax.data.record_files.write`; then `train --config own/jnf:runs/large`.

# %%
if __name__ == "__main__":
    main(Path(sys.argv[1]))
