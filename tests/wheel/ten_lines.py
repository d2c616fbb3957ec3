"""Ten lines with two views of scikit-learn's wines; run in an empty folder."""

import numpy as np
from sklearn.datasets import load_wine

import jnf_jax

x, labels = load_wine(return_X_y=True)
views = {"acids": x[:, :6], "colours": x[:, 6:]}
few = {"joint.num_steps": 100, "subsets.num_steps": 100}
model = jnf_jax.fit(views, labels, overrides=few)
drawn = model.generate({"acids": x[:5, :6]}, num_samples=4)["colours"]
model.save("wine")
again = jnf_jax.load("wine").generate({"acids": x[:5, :6]}, num_samples=4)["colours"]
assert drawn.shape == (4, 5, 7) and np.array_equal(drawn, again), (drawn, again)
print(f"wine: {drawn.mean(0).round(1)[0]} generated, {x[0, 6:]} measured")
