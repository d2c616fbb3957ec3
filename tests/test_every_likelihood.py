"""Views of every likelihood in one run, from fit to what is imputed of them."""

import numpy as np
import pytest

import jnf_jax
from jnf_jax.likelihoods import LIKELIHOODS

pytestmark = [pytest.mark.usefixtures("user_cache"), pytest.mark.slow]

SIZE = 30
RNG = np.random.default_rng(0)
CAUSE = RNG.normal(size=(SIZE, 1))
COUNTS = RNG.poisson(np.exp(3 + CAUSE * [0.5, -0.5]))
COUNTS[0] = 0  # integers without a 0 are numbers
VIEWS = {
    "bernoulli": CAUSE > [[0.0, 0.5]],
    "categorical": np.eye(3, dtype=int)[np.digitize(CAUSE[:, 0], [-0.5, 0.5])],
    "laplace": 20 + 5 * CAUSE,
    "negative_binomial": COUNTS,
    "normal": CAUSE * [1.0, -2.0],
    "ordinal": np.digitize(CAUSE, [-1, 0, 1]),
    "pen": np.concatenate(
        [RNG.normal(size=(SIZE, 4, 2)), RNG.integers(0, 2, (SIZE, 4, 1))], axis=-1
    ),
    "poisson": COUNTS,
    "student_t": CAUSE + RNG.standard_t(4, (SIZE, 1)),
    "von_mises": np.arctan2(np.sin(CAUSE), np.cos(CAUSE)),
}
TINY = {
    "subset_posterior.name": "amortised",
    "subset_posterior.hidden_sizes": (4,),
    "subset_posterior.num_components": 2,
    "stages": "joint,subsets",
    "model.latent_dim": 2,
    "model.joint_hidden_sizes": (4,),
    **{f"model.networks.{m}.hidden_sizes": (4,) for m in VIEWS},
    "flow.num_blocks": 0,
    "joint.num_steps": 3,
    "subsets": dict(num_steps=3, batch_size=24),
    "data.scaling.pen": "none",
    "data.scaling.von_mises": "none",
    "model.networks.von_mises.reads": "angle",
    "model.likelihoods.negative_binomial.median_total": 40.0,
    **{
        f"model.likelihoods.{m}.name": m
        for m in ("laplace", "pen", "poisson", "student_t", "von_mises")
    },
    "model.likelihoods.pen.learns_scale": False,
    "model.likelihoods.poisson.learns_scale": False,
    "model.likelihoods.laplace.learns_scale": True,
}
IS_OF_ITS_KIND = {
    "bernoulli": lambda x: np.isin(x, (0, 1)).all(),
    "categorical": lambda x: (np.sort(x) == [0, 0, 1]).all(),
    "negative_binomial": lambda x: (x >= 0).all() and (x == np.rint(x)).all(),
    "ordinal": lambda x: np.isin(x, range(4)).all(),
    "pen": lambda x: np.isin(x[..., 2], (0, 1)).all(),
    "poisson": lambda x: (x >= 0).all() and (x == np.rint(x)).all(),
    "von_mises": lambda x: (np.abs(x) <= 3.1416).all(),
}


def test_every_likelihood_from_fit_to_impute(tmp_path):
    assert set(VIEWS) == set(LIKELIHOODS)
    model = jnf_jax.fit(VIEWS, workdir=tmp_path / "run", overrides=TINY)
    settings = model.trained.setup.experiment.model
    assert {m: settings.likelihood(m).name for m in VIEWS} == {m: m for m in VIEWS}

    given = {"normal": VIEWS["normal"][:8]}
    filled = model.impute(given, num_samples=2)
    assert set(filled.draws) == set(VIEWS) - {"normal"}
    for m, x in filled.draws.items():
        assert x.shape == (2, 8, *VIEWS[m].shape[1:]) and np.isfinite(x).all(), m
        assert IS_OF_ITS_KIND.get(m, lambda x: True)(x), m
        assert filled.views[m].shape == x.shape[1:]
    np.testing.assert_array_equal(filled.views["normal"], given["normal"])
