"""MOFA+ fills in views, in an environment that has mofapy2: IN.npz OUT.npz.

IN has {view: f64[N, F]}, NaN where a row lacks the view; OUT the same, Z Wᵀ + mean.
At most 15 factors; those that explain nothing are dropped.
"""

import sys

import numpy as np
from mofapy2.run.entry_point import entry_point


def main() -> None:
    """Trains and writes the reconstruction."""
    with np.load(sys.argv[1]) as given:
        views = {m: given[m] for m in sorted(given)}
    mean = {m: np.nanmean(x, axis=0) for m, x in views.items()}
    model = entry_point()
    model.set_data_options(scale_views=False, center_groups=True)
    model.set_data_matrix([[x] for x in views.values()], views_names=[*views])
    width = sum(x.shape[1] for x in views.values())
    model.set_model_options(factors=min(15, width // 2), ard_weights=True)
    model.set_train_options(
        iter=1000, convergence_mode="fast", dropR2=0.001, seed=0, quiet=True
    )
    model.build()
    model.run()
    z = model.model.nodes["Z"].getExpectation()
    weights = model.model.nodes["W"].getExpectation()
    filled = {m: z @ w.T + mean[m] for m, w in zip(views, weights, strict=True)}
    np.savez(sys.argv[2], **filled)


if __name__ == "__main__":
    main()
