# %% [markdown]
# # What a flow adds: circles and squares
#
# A circle and a square share one bit: both are filled, or both are rings. Their radii
# are independent, so p(z|circle) is broad along the square's radius. Three models:
#
#     python -m jnf_jax.train --config circles_squares/jnf \
#         --workdir runs/toy/jnf
#     python -m jnf_jax.train --config circles_squares/jnf:gaussian \
#         --workdir runs/toy/jnf_gaussian \
#         --config.init.joint=runs/toy/jnf/checkpoints/joint
#     python -m jnf_jax.train --config circles_squares/jmvae \
#         --workdir runs/toy/jmvae
#     python examples/circles_squares.py runs/toy docs/circles_squares.png

# %%
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from jnf_jax import programs
from jnf_jax.experiments.experiment import load_stages, open_experiment

NUM_BACKGROUND, NUM_DRAWS = 3_000, 400
TITLES = {
    "jnf": "JNF: flow posterior",
    "jnf_gaussian": "JNF: Gaussian posterior",
    "jmvae": "JMVAE",
}


# %% [markdown]
# Behind each panel: where the joint encoder puts test tuples, coloured by their bit.
# On top: draws from q(z|circle) of one filled and one empty circle.
# %%
def draw_panel(axes, workdir: Path) -> None:
    setup = open_experiment(programs.config_of(workdir)[0])
    params, _, _ = load_stages(setup, workdir)
    inference, test = setup.method.inference, setup.dataset.splits["test"]
    views = jax.jit(setup.dataset.fetch)(test.arrays, jnp.arange(NUM_BACKGROUND))
    bit = test.labels[:NUM_BACKGROUND]
    z, _ = inference.infer(params, jax.random.key(0), views, inference.modalities)
    axes.scatter(*z.T, c=np.where(bit, "#f3c6a5", "#b5cfe6"), s=3, linewidths=0)
    for value, colour, name in ((1, "#c2410c", "filled"), (0, "#1d4ed8", "empty")):
        # The circle of median radius among those with this bit.
        radii = test.arrays["radii"][:NUM_BACKGROUND, 0]
        chosen = np.flatnonzero(bit == value)
        chosen = chosen[np.argsort(radii[chosen])[len(chosen) // 2]]
        circle = jnp.repeat(views["circle"][chosen][None], NUM_DRAWS, axis=0)
        drawn, _ = inference.infer(
            params, jax.random.key(1), {"circle": circle}, ("circle",)
        )
        label = f"q(z | {name} circle)"
        axes.scatter(*drawn.T, c=colour, s=4, linewidths=0, label=label)
    axes.set(title=TITLES[workdir.name], xlabel="$z_1$", ylabel="$z_2$")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(loc="lower left", fontsize=7, markerscale=3)


# %%
if __name__ == "__main__":
    runs, out = Path(sys.argv[1]), Path(sys.argv[2])
    workdirs = [runs / name for name in TITLES if (runs / name).is_dir()]
    figure, panels = plt.subplots(1, len(workdirs), figsize=(4.2 * len(workdirs), 4.2))
    for axes, workdir in zip(np.atleast_1d(panels), workdirs, strict=True):
        draw_panel(axes, workdir)
    figure.tight_layout()
    figure.savefig(out, dpi=130)
    print(out)
