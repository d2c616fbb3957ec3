"""A batch that shifts a view: z does not carry it, and rows move as if of another."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import jnf_jax
from jnf_jax.data import mudata_file
from jnf_jax.experiments import dry_run, run_folder
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.methods.registry import build_method
from jnf_jax.methods.settings import FlowSettings, LikelihoodSettings, ModelSettings
from jnf_jax.networks.build import NetworkSettings
from jnf_jax.priors.vamp import VampFamily
from jnf_jax.row_files import RowFiles, impute_file
from jnf_jax.sampling import ChainSettings

pytestmark = pytest.mark.usefixtures("user_cache")

SIZE, SHIFT = 500, 4.0
RNG = np.random.default_rng(0)
BATCH = RNG.choice(["A", "B"], SIZE)
AGE = RNG.normal(50, 9, SIZE)
CAUSE = RNG.normal(size=(SIZE, 1))
VIEWS = {
    "a": CAUSE * [1.0, -1.0] + RNG.normal(0, 0.3, (SIZE, 2)),
    "b": CAUSE + RNG.normal(0, 0.3, (SIZE, 1)) + SHIFT * (BATCH == "B")[:, None],
}
TINY = {
    "subset_posterior.name": "amortised",
    "subset_posterior.hidden_sizes": (16,),
    "subset_posterior.num_components": 2,
    "stages": "joint,subsets",
    "model.latent_dim": 2,
    "model.joint_hidden_sizes": (16,),
    **{f"model.networks.{m}.hidden_sizes": (16,) for m in VIEWS},
    "flow.num_blocks": 0,
    "optimizer.learning_rate": 3e-3,
    "joint.num_steps": 500,
    "subsets": dict(num_steps=300, batch_size=64),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("fit") / "run"
    beside = {"batch": BATCH, "age": AGE}
    return jnf_jax.fit(VIEWS, workdir=workdir, overrides=TINY, covariates=beside)


def rows_of(*names, num=SIZE):
    return {m: x[:num] for m, x in VIEWS.items() if m in names} | {
        "batch": BATCH[:num],
        "age": AGE[:num],
    }


@pytest.mark.parametrize("given", [("a", "b"), ("b",)])
def test_z_does_not_carry_the_batch(model, given):
    """A linear classifier has 0.5 by chance, ± 0.03; from b itself it has 0.98."""
    z = model.encode(rows_of(*given), num_samples=1)
    z = z.shared[0]
    half = SIZE // 2

    def accuracy(x):
        fit = LogisticRegression().fit(x[:half], BATCH[:half])
        return fit.score(x[half:], BATCH[half:])

    assert accuracy(VIEWS["b"]) > 0.95
    assert accuracy(z) < 0.6
    # and yet z tells the cause
    assert abs(np.corrcoef(z.T, CAUSE[:, 0])[:-1, -1]).max() > 0.7


def test_rows_are_decoded_as_if_of_another_batch(model):
    given = rows_of("a", num=50)
    own = model.generate(given, num_samples=4)["b"]
    a, b = (
        model.generate(given, num_samples=4, covariates={"batch": batch})["b"]
        for batch in "AB"
    )
    np.testing.assert_allclose((b - a).mean(), SHIFT, atol=0.5)
    is_b = BATCH[:50] == "B"
    np.testing.assert_array_equal(own, np.where(is_b[:, None], b, a))
    assert np.abs(model.generate(given, covariates={"batch": "B"})["b"]).std() > 0


def test_rows_that_have_nothing_are_of_their_own_batch(model):
    nothing = {"a": np.full((200, 2), np.nan), "batch": ["A", "B"] * 100, "age": 50.0}
    drawn = model.impute(nothing, num_samples=20, noise=False).mean["b"]
    np.testing.assert_allclose((drawn[1::2] - drawn[::2]).mean(), SHIFT, atol=0.6)


def test_joint_draws_have_training_rows_covariates_or_those_given(model):
    a, b = (
        model.sample(300, covariates={"batch": batch, "age": 50})["b"].mean()
        for batch in "AB"
    )
    np.testing.assert_allclose(b - a, SHIFT, atol=0.5)
    share = (model.sample(300)["b"].mean() - a) / (b - a)
    assert abs(share - np.mean(BATCH == "B")) < 0.15
    with pytest.raises(ValueError, match=r"has \['batch'\], expected all of \['age'"):
        model.sample(3, covariates={"batch": "A"})


def test_they_are_kept_with_the_model(model, tmp_path):
    given = rows_of("a", num=5)
    drawn = model.generate(given, covariates={"batch": "B"})["b"]
    for again in (
        jnf_jax.load(model.save(tmp_path / "saved")),
        jnf_jax.load(model.export(tmp_path / "exported")),
    ):
        assert again.covariates == {"age": (), "batch": ("A", "B")}
        np.testing.assert_array_equal(
            again.generate(given, covariates={"batch": "B"})["b"], drawn
        )
    card = (tmp_path / "exported/README.md").read_text()
    assert "- Rows come with the covariate batch, one of A, B." in card
    assert "and covariates of some rows" in card


def test_cells_of_a_file_are_filled_in_and_go_back_to_it(model, tmp_path):
    """Covariates are columns of ``obs``; protein of cells without goes to ``obsm``."""
    mudata, anndata = map(pytest.importorskip, ("mudata", "anndata"))
    import pandas

    about = {"batch": BATCH[:9], "age": AGE[:9]}
    obs = pandas.DataFrame(about, index=[f"cell{row}" for row in range(9)])
    mods = {
        "a": anndata.AnnData(VIEWS["a"][:9], obs),
        "b": anndata.AnnData(VIEWS["b"][:6], obs[[]][:6]),
    }
    path, out = tmp_path / "cells.h5mu", tmp_path / "filled.h5mu"
    mudata_file._quietly(lambda: mudata.MuData(mods).write(path))
    options = dict(num_samples=20, seed=1)
    impute_file(model.folder, RowFiles(path), out, **options, noise=False)
    rows = rows_of("a", "b", num=9)
    rows["b"] = np.where(np.arange(9)[:, None] < 6, rows["b"], np.nan)
    expected = model.impute(rows, **options, noise=False)
    found = mudata_file._quietly(lambda: mudata.read_h5mu(out))
    np.testing.assert_allclose(found.obsm["b_imputed"], expected.views["b"], 1e-6)
    np.testing.assert_allclose(found.obsm["b_imputed_sd"], expected.sd["b"], 1e-6)
    np.testing.assert_allclose(found["b"].layers["imputed"], VIEWS["b"][:6], 1e-6)
    np.testing.assert_allclose(
        found.obsm["X_jnf"], model.latent(rows, **options).mean, 1e-6
    )


def test_bounds_are_given_them(model):
    """A row in the other batch, 4 standard deviations away, is less probable."""
    rows = rows_of("a", "b", num=20)
    own = model.log_likelihood_bound(rows, num_samples=20)
    other = rows | {"batch": np.where(rows["batch"] == "A", "B", "A")}
    assert np.mean(own - model.log_likelihood_bound(other, num_samples=20)) > 3


@pytest.mark.parametrize(
    ("given", "covariates", "told"),
    [
        ({}, None, r"`given` lacks the covariates \['age', 'batch'\], expected them"),
        ({"batch": "A"}, None, r"`given` lacks the covariates \['age'\]"),
        ({"batch": "D", "age": 1}, None, "`given.batch` is 'D' in row 0, expected one"),
        (
            {"batch": "A", "age": 1},
            {"batch": "D"},
            "`covariates.batch` is 'D' in row 0, expected one of 'A', 'B'",
        ),
        ({"batch": "A", "age": 1}, {"site": "D"}, "`covariates` has .*'site'"),
    ],
)
def test_what_is_refused(model, given, covariates, told):
    with pytest.raises(ValueError, match=told):
        model.generate({"a": VIEWS["a"][:2]} | given, covariates=covariates)


def test_an_evaluation_would_run(model):
    """On shapes alone: draws of subsets and priors, pictures; no view is added."""
    setup = open_experiment(run_folder.read_config(model.folder)[0])
    dry_run.check(setup, model.folder, with_evaluation=True)


def built(name="jnf", posterior="amortised", **changes):
    from jnf_jax.methods.amortised import SubsetPosteriorSettings

    model = ModelSettings(
        latent_dim=2,
        networks={"default": NetworkSettings("mlp", hidden_sizes=(4,))},
        likelihoods={"default": LikelihoodSettings("normal")},
        num_covariates=3,
        **changes,
    )
    return build_method(
        name,
        {"a": (2,), "b": (1,)},
        model=model,
        flow=FlowSettings(),
        sampler=ChainSettings(),
        subset_posterior=SubsetPosteriorSettings(posterior),
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(posterior="product"), "expected 0 with method 'jnf' and `subset_post"),
        (dict(name="mmvae"), "expected 0 with method 'mmvae'.*: covariates are for"),
        (dict(prior=VampFamily()), "with `model.prior.name` 'vamp', whose tuples"),
    ],
)
def test_where_they_are_not_read(options, told):
    built()
    with pytest.raises(ValueError, match=told):
        built(**options)
