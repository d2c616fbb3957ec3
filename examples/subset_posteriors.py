# %% [markdown]
# # Posteriors of subsets: product, amortised, exact
#
# ![Rows: which views are given. Columns: draws of the product, draws of the amortised
# posterior, the exact posterior on a grid](../docs/subset_posteriors.png)
#
# A point in the plane is seen three times: how far it is from the middle, how far
# across, how far up. What do we know of z, given some of these? One view of three
# leaves a ring or a stripe, two of them two spots. With two latents all of it can be
# looked at, and the model's own posterior computed on a grid, through the decoders:
#
#     p(z|x_S) ∝ p(z) Π_{m∈S} p(x_m|z)
#
# We hold two ways to draw from it against that. The *product* multiplies one flow a
# view and runs chains on the result, as JNF was published. The *amortised* posterior is
# one flow that has learnt all subsets, and runs none. Both are fitted to the same
# frozen joint VAE; neither has seen the grid.

# %%
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import jnf_jax
from jnf_jax.data import own

VIEWS = ("radius", "across", "up")
SUBSETS = (("radius",), ("across",), ("radius", "across"), ("radius", "up"))
EDGE, NUM_GRID, NUM_DRAWS = 3.0, 120, 400


def draw(seed: int, n: int) -> dict[str, np.ndarray]:
    """{"radius", "across", "up"}: f32[n, 1] each, with a little noise."""
    rng = np.random.default_rng(seed)
    point = rng.normal(size=(n, 2))
    radius = np.linalg.norm(point, axis=1, keepdims=True)
    views = {"radius": radius, "across": point[:, :1], "up": point[:, 1:]}
    return {m: x + rng.normal(0, 0.05, (n, 1)) for m, x in views.items()}


# %% [markdown]
# Small networks do. The likelihoods' scale, in standard deviations of the data, is what
# the model need not explain: it is how wide ring and stripe are.

# %%
SETTINGS = {
    "subset_posterior.name": "product",
    "stages": "joint,unimodal",
    "model.latent_dim": 2,
    "model.joint_hidden_sizes": (64,),
    **{
        f"model.networks.{m}.hidden_sizes": (64, 64) for m in ("radius", "across", "up")
    },
    **{f"model.likelihoods.{m}.scale": 0.2 for m in VIEWS},
    "flow.hidden_sizes": (64,),
    "flow.num_blocks": 2,
    "flow.context_size": 0,
    "flow.num_posterior_samples": 1,
    "joint.num_steps": 2_000,
    "unimodal.num_steps": 1_500,
}


def fit(workdir: Path, size: int = 5_000, overrides: dict | None = None) -> dict:
    """{"product", "amortised": models} on one joint VAE."""
    views, settings = draw(0, size), SETTINGS | (overrides or {})
    product = jnf_jax.fit(views, workdir=workdir / "product", overrides=settings)
    settings = settings | {
        "subset_posterior.name": "amortised",
        "stages": "joint,subsets",
        "init.joint": str(workdir / "product" / "checkpoints" / "joint"),
        "subsets.num_steps": settings["unimodal.num_steps"],
        "subsets.batch_size": 64,
    }
    amortised = jnf_jax.fit(views, workdir=workdir / "amortised", overrides=settings)
    return {"product": product, "amortised": amortised}


# %% [markdown]
# The exact posterior needs the decoders alone. `decode` gives the law of every view at
# each z; a view that is not given drops out.


# %%
def posterior_on_grid(decode, given) -> np.ndarray:
    """p(z|x_S) of one row on the grid, f64[NUM_GRID, NUM_GRID], z_2 down; sums to 1.

    ``decode`` takes z f32[N, 2] to the laws of all views; ``given`` is {m: f32[1, 1]}.
    """
    axis = jnp.linspace(-EDGE, EDGE, NUM_GRID)
    z = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    law = decode(z)
    log_joint = -0.5 * jnp.sum(jnp.square(z), axis=-1)
    for m in given:
        log_joint += law[m].log_prob(jnp.broadcast_to(given[m], (len(z), 1)))
    log_joint = np.asarray(log_joint, np.float64).reshape(NUM_GRID, NUM_GRID)
    weights = np.exp(log_joint - log_joint.max())
    return weights / weights.sum()


def exact(model: jnf_jax.Model, given: dict[str, np.ndarray]) -> np.ndarray:
    """The same of a model, given views in the units of the data."""
    trained = model.trained
    given = own.to_model(trained.setup.dataset, given, "given")

    def decode(z):
        return trained.setup.method.inference.decode(trained.params, z)

    return posterior_on_grid(decode, given)


def on_grid(z: np.ndarray) -> np.ndarray:
    """Cells [N, 2] of draws [N, 2], as indices (row, column) of ``exact``."""
    cells = np.rint((np.asarray(z) + EDGE) / (2 * EDGE) * (NUM_GRID - 1)).astype(int)
    return np.clip(cells, 0, NUM_GRID - 1)[:, ::-1]


def coverage(density: np.ndarray, z: np.ndarray, mass: float = 0.9) -> float:
    """Share of draws in the smallest region that has ``mass``: about that, if exact."""
    order = np.sort(density.ravel())[::-1]
    level = order[np.searchsorted(np.cumsum(order), mass)]
    return float(np.mean(density[tuple(on_grid(z).T)] >= level))


# %% [markdown]
# Above each panel of draws stands the share of them inside the region that holds 90 %
# of the exact posterior: less is too wide or misplaced, more is too narrow. A mode that
# is missing escapes it, and is for the eye.
#
# Given one view the product is that view's flow, drawn without a chain. In the picture
# it bends well along the ring, and is too wide across it. Given two it fills what lies
# between the two spots: a flow over one normal hardly has a gap, so neither has the
# product. The amortised posterior starts from a mixture of normals, and keeps them
# apart. The command takes less than two minutes of one core:
#
#     python examples/subset_posteriors.py runs/posteriors docs/subset_posteriors.png


# %%
def main(workdir: Path, out: Path, size: int = 5_000, overrides: dict | None = None):
    """Fits, draws the picture, returns {(subset, model): coverage}."""
    models = fit(workdir, size, overrides)
    row = {"radius": [[1.3]], "across": [[0.8]], "up": [[-1.0]]}

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shape = (len(SUBSETS), len(models) + 1)
    figure, panels = plt.subplots(*shape, figsize=(7.5, 10), sharex=True, sharey=True)
    found = {}
    for line, subset in zip(panels, SUBSETS, strict=True):
        given = {m: np.asarray(row[m]) for m in subset}
        density = exact(models["product"], given)
        for axes, (name, model) in zip(line, models.items(), strict=False):
            z = model.encode(given, num_samples=NUM_DRAWS)[:, 0]
            found[subset, name] = share = coverage(density, z)
            axes.scatter(*z.T, s=3, c="#1d4ed8", linewidths=0)
            axes.set_title(f"{name}: {share:.2f}", fontsize=9)
        line[-1].imshow(density, origin="lower", extent=(-EDGE, EDGE) * 2, cmap="Blues")
        line[-1].set_title("exact", fontsize=9)
        line[0].set_ylabel("given " + " + ".join(subset))
    for axes in panels.flat:
        axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal")
    figure.tight_layout()
    figure.savefig(out, dpi=90)
    plt.close(figure)
    return found


# %%
if __name__ == "__main__":
    for (subset, name), share in main(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"given {' + '.join(subset)}, {name}: {share:.2f} of 0.90")
