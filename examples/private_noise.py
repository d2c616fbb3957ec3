# %% [markdown]
# # What projectors add: private noise of growing size
#
# A circle and a square share one bit, and each has waves of its own that push pixels
# by up to `data.noise` towards the other side; below 1/2 the bit can still be read off
# every picture. JNF's flows see whole pictures, those of JNF-Shared what projectors
# found to be shared. All three have the same joint VAE at each amount of noise:
#
#     python -m jnf_jax.sweep --config configs/ablations/private_noise.py \
#         --workdir runs/noisy
#     python examples/private_noise.py runs/noisy docs/private_noise.png
#
# The records may also lie in one folder: `results/circles_squares` instead of
# `runs/noisy` draws those of this repository.

# %%
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from jnf_jax import results

TITLES = {
    "noisy_jnf": "JNF",
    "noisy_shared_cl": "JNF-Shared (CL)",
    "noisy_shared_dcca": "JNF-Shared (DCCA)",
}


# %% [markdown]
# A row for each amount of noise: coherence from one modality, by method, and the share
# of test pairs whose two reconstructions from the joint posterior agree (the ceiling).
# %%
def read_table(directory: Path) -> dict[float, dict[str, float]]:
    table = {}
    of_sweep = directory.glob("*/results.json")
    for path in sorted([*directory.glob("noisy_*.json"), *of_sweep]):
        record = results.read(path)
        row = table.setdefault(record["data"]["settings"]["noise"], {})
        method = TITLES[Path(record["config"]).stem]
        row[method] = record["coherence"]["conditional"]["1"]
        row["ceiling"] = record["coherence"]["ceiling"]
    return dict(sorted(table.items()))


# %%
if __name__ == "__main__":
    directory, out = Path(sys.argv[1]), Path(sys.argv[2])
    table = read_table(directory)
    methods = [*TITLES.values(), "ceiling"]
    print("| noise | " + " | ".join(methods) + " |")
    print("| --- " * (len(methods) + 1) + "|")
    for noise, row in table.items():
        cells = [f"{row[m]:.3f}" if m in row else "–" for m in methods]
        print(f"| {noise:g} | " + " | ".join(cells) + " |")
    figure, axes = plt.subplots(figsize=(5.2, 3.6))
    for method in methods:
        points = [(noise, row[method]) for noise, row in table.items() if method in row]
        style = dict(color="grey", ls="--") if method == "ceiling" else dict(marker="o")
        axes.plot(*zip(*points, strict=True), label=method, **style)
    axes.set(xlabel="private noise", ylabel="coherence from one modality")
    axes.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=130)
    print(out)
