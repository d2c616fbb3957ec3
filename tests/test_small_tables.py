"""A hundred rows with the defaults: rare classes, columns that never change."""

import numpy as np
import pytest

import jnf_jax

pytestmark = [pytest.mark.usefixtures("user_cache"), pytest.mark.slow]


def test_a_hundred_rows_with_a_rare_class_and_a_constant_column(tmp_path):
    rng = np.random.default_rng(0)
    label = (np.arange(100) % 20 == 7).astype(np.int32)  # five of a hundred
    cause = rng.normal(size=(100, 2)) + 4 * label[:, None]
    noise = 0.3 * rng.normal(size=(100, 6))
    assay = np.column_stack([cause @ rng.normal(size=(2, 3)), np.full(100, 7.25)])
    views = {
        "assay": assay + np.column_stack([noise[:, :3], np.zeros(100)]),
        "scan": cause @ rng.normal(size=(2, 3)) + noise[:, 3:],
        "ill": label.astype(bool),
    }
    model = jnf_jax.fit(views, labels=label, workdir=tmp_path / "run")
    filled = model.impute({"scan": views["scan"]}, num_samples=50)

    # Known from the scan alone but for its noise: R² of .8 and more by least squares.
    assay, found = views["assay"][:, :3], filled.views["assay"][:, :3]
    r2 = 1 - np.mean((found - assay) ** 2) / np.var(assay)
    assert r2 > 0.75, r2
    np.testing.assert_allclose(filled.views["assay"][:, 3], 7.25, atol=0.01)
    ill = filled.views["ill"].ravel()
    assert ill[label == 1].mean() > 2 * ill[label == 0].mean()  # from four rows
