"""The Python front door: one tiny model is fit, and everything is asked of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jnf_jax
from jnf_jax import api, programs
from jnf_jax.data import own
from jnf_jax.experiments import new_rows, run_folder
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.schema import validate
from jnf_jax.row_files import RowFiles, generate_file, impute_file
from jnf_jax.runtime.files import npz

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("user_cache")

SIZE = 60
RNG = np.random.default_rng(0)
LABELS = np.arange(SIZE) % 2
CAUSE = LABELS + RNG.normal(0, 0.1, SIZE)
VIEWS = {
    "assay": 500 + 30 * CAUSE[:, None] * [1.0, -1.0] + RNG.normal(0, 3, (SIZE, 2)),
    "file": np.rint(100 * CAUSE).astype(int),  # a name that numpy.savez calls its own
    "photo": RNG.integers(0, 256, (SIZE, 4, 4, 1)).astype(np.uint8),
}
TINY = {
    # Two of three views are multiplied, by chains: what is said of them is tested here.
    "subset_posterior.name": "product",
    "stages": "joint,unimodal",
    "model.latent_dim": 2,
    "model.joint_hidden_sizes": (8,),
    **{f"model.networks.{m}.hidden_sizes": (8,) for m in VIEWS},
    "model.likelihoods.assay.scale": 0.25,
    "model.likelihoods.assay.learns_scale": False,
    "flow.hidden_sizes": (8,),
    "flow.num_blocks": 1,
    "flow.context_size": 0,
    "sampler.num_transitions": 4,
    "sampler.num_adaptation": 4,
    "joint.num_steps": 6,
    "unimodal.num_steps": 4,
    "evaluation.num_prior_samples": 50,
    "evaluation.num_diagnostic_data": 8,
    "evaluation.classifier.num_steps": 5,
}


def some(num, *names, start=0):
    return {m: VIEWS[m][start : start + num] for m in names or VIEWS}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("fit") / "run"
    return jnf_jax.fit(VIEWS, LABELS, workdir=workdir, overrides=TINY)


# --- draws ------------------------------------------------------------


def test_views_that_are_not_given_are_generated_in_their_units(model):
    drawn = model.generate(some(5, "assay"), num_samples=3)
    assert {t: (x.shape, x.dtype) for t, x in drawn.items()} == {
        "file": ((3, 5, 1), np.float32),
        "photo": ((3, 5, 4, 4, 1), np.float32),
    }
    assert 0 <= drawn["photo"].min() and drawn["photo"].max() <= 1
    everything = model.generate(some(2), num_samples=1)
    assert sorted(everything) == sorted(VIEWS)
    assert abs(everything["assay"].mean() - 515) < 60  # of 500, not of 0
    again = model.generate(some(2, "assay"), targets=["assay"])
    assert again["assay"].shape == (8, 2, 2)


def test_rows_of_a_chain_depend_on_no_other_rows(model):
    """Two of three views: a step size that were adapted to the rows would tell."""
    given = ("assay", "file")
    whole = model.generate(some(20, *given), num_samples=2)["photo"]
    far = some(4, *given)
    far["assay"] = np.concatenate([far["assay"][:2], 5_000 * far["assay"][2:]])
    few = model.generate(far, num_samples=1)["photo"]
    np.testing.assert_allclose(few[0, :2], whole[0, :2], atol=1e-4)
    assert not np.allclose(whole[0], whole[1], atol=1e-4)


def test_no_program_is_compiled_for_other_rows(model, num_compiled):
    given = ("assay", "file")
    model.generate(some(3, *given), num_samples=2)
    model.generate(some(20, *given), num_samples=2)
    before = num_compiled()
    for num, num_samples in ((1, 1), (7, 2), (16, 1), (33, 3)):
        model.generate(some(num, *given), num_samples=num_samples)
    assert num_compiled() == before
    model.generate(some(3, "photo"), num_samples=2)
    assert num_compiled() > before


def test_what_decodes_a_view_serves_whatever_is_given(model):
    rest = {"assay", "file", "photo"}
    for m in sorted(rest):
        model.generate(some(3, m), targets=sorted(rest - {m}), num_samples=2)
    before = new_rows._show._cache_size()
    for m in sorted(rest):
        model.generate(some(3, *rest - {m}), targets=[m], num_samples=2)
    assert new_rows._show._cache_size() == before


def test_noise_is_the_likelihoods(model):
    """0.25 standard deviations of the data, as `overrides` say; 8,000 numbers."""
    given = some(20, "file")
    mean = model.generate(given, ["assay"], num_samples=200)["assay"]
    drawn = model.generate(given, ["assay"], num_samples=200, noise=True)["assay"]
    scale = model.trained.setup.dataset.scaling["assay"].scale
    found = (drawn - mean).std(axis=(0, 1)) / scale
    np.testing.assert_allclose(found, 0.25, rtol=0.05)  # standard error 0.01


def test_joint_draws(model):
    drawn, again = model.sample(5, seed=1), model.sample(3, seed=1)
    assert drawn["photo"].shape == (5, 4, 4, 1)
    np.testing.assert_allclose(drawn["assay"][:3], again["assay"], rtol=1e-5)
    assert model.encode(some(5, "photo"), num_samples=2).shape == (2, 5, 2)


def test_bounds_are_in_the_units_of_the_arrays(model):
    """Against the bound in the model's units, and the two scales of the assay."""
    found = model.log_likelihood_bound(some(4), given=["photo"], num_samples=20)
    scaling = model.trained.setup.dataset.scaling
    read = own.to_model(model.trained.setup.dataset, some(4), "views")
    inference, params = model.trained.setup.method.inference, model.trained.params
    inner = new_rows.log_bound(inference, params, read, ("photo",), num_samples=20)
    scales = [*scaling["assay"].scale, *scaling["file"].scale]
    np.testing.assert_allclose(found, inner - np.log(scales).sum(), rtol=1e-5)
    assert model.log_likelihood_bound(some(3), num_samples=20).shape == (3,)


# --- holes ------------------------------------------------------------------


def with_holes():
    """Six rows: all of them; no "assay"; only "file"; two patterns again; nothing."""
    rows = {m: x.copy() for m, x in some(6).items()}
    rows["assay"][[1, 2, 4, 5]] = np.nan
    photo_is_missing = np.zeros((6, 4, 4, 1), bool)
    photo_is_missing[[2, 3, 5]] = True
    rows["photo"] = np.ma.masked_array(rows["photo"], photo_is_missing)
    rows["file"] = np.ma.masked_array(rows["file"], [0, 0, 0, 0, 0, 1])
    return rows


@pytest.mark.filterwarnings("ignore:.*not to be trusted")  # two steps of training
def test_holes_are_filled_and_what_was_seen_stays(model):
    found = model.impute(with_holes(), num_samples=5)
    assert {m: x.shape for m, x in found.views.items()} == {
        "assay": (6, 2),
        "file": (6, 1),
        "photo": (6, 4, 4, 1),
    }
    assert all(np.isfinite(x).all() for x in found.views.values())
    np.testing.assert_array_equal(found.views["assay"][[0, 3]], VIEWS["assay"][[0, 3]])
    np.testing.assert_array_equal(found.views["file"][:5, 0], VIEWS["file"][:5])
    seen = VIEWS["photo"][[0, 1, 4]] / 255
    np.testing.assert_allclose(found.views["photo"][[0, 1, 4]], seen, rtol=1e-6)
    assert found.missing["assay"][:, 0].tolist() == [
        False,
        *[True] * 2,
        False,
        True,
        True,
    ]
    assert (found.sd["assay"][[1, 2, 4, 5]] > 0).all()
    assert abs(found.mean["assay"][[1, 2, 4]].mean() - 515) < 60  # the user's units


@pytest.mark.filterwarnings("ignore:.*not to be trusted")
def test_a_row_is_filled_alike_whatever_is_beside_it(model):
    """The same holes where other rows have others, and what `generate` draws."""
    whole = model.impute(with_holes(), num_samples=3, seed=2)
    rows = {m: x[:3].copy() for m, x in with_holes().items()}
    rows["assay"][0] = np.nan
    few = model.impute(rows, num_samples=3, seed=2)
    for m in ("assay", "photo"):
        x = whole.draws[m][:, 1:3]
        np.testing.assert_allclose(few.draws[m][:, 1:3], x, rtol=1e-4, atol=1e-3)
    given = some(2, "file", "photo")
    same = model.generate(given, num_samples=3, seed=2, noise=True)["assay"]
    np.testing.assert_allclose(few.draws["assay"][:, :2], same, rtol=1e-4, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*not to be trusted")
def test_latents_are_the_moments_of_what_is_encoded(model):
    rows, given = with_holes(), some(6, "file", "photo")
    found = model.latent(rows, num_samples=7, seed=1)
    assert found.mean.shape == found.sd.shape == (6, 2)
    z = model.encode(given, num_samples=7, seed=1)
    for row in (1, 4):  # those that have just these two
        np.testing.assert_allclose(
            found.mean[row], z[:, row].mean(0), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(
            found.sd[row], z[:, row].std(0), rtol=1e-2, atol=1e-4
        )


@pytest.mark.filterwarnings("ignore:.*not to be trusted")
def test_the_program_fills_the_same_holes(model, tmp_path):
    rows, out, latent = (tmp_path / f"{name}.npz" for name in ("rows", "out", "z"))
    given = some(3, "assay", "photo") | {"file": np.float32([[4], [np.nan], [6]])}
    rows.write_bytes(npz(given))
    options = {"num_samples": 4, "seed": 1}
    files = RowFiles(rows)
    impute_file(model.folder, files, out, latent=latent, noise=False, **options)
    expected = model.impute(given, noise=False, **options)
    with np.load(out) as found:
        names = {name for name in found if not name.startswith("chains.")}
        assert names == {*VIEWS} | {
            f"file.{of}" for of in ("missing", "mean", "sd", "quantiles", "draws")
        }
        np.testing.assert_array_equal(found["file"], expected.views["file"])
        np.testing.assert_array_equal(found["file.draws"], expected.draws["file"])
        assert found["file.quantiles"].shape == (3, 3, 1)
        assert found["chains.is_suspect"].shape == (4, 3)
    with np.load(latent) as found:
        np.testing.assert_array_equal(found["mean"], model.latent(given, 4, 1).mean)
    with pytest.raises(ValueError, match="`--latent` is 'z.png', expected a .npz"):
        impute_file(
            model.folder, files, out, latent=Path("z.png"), noise=False, **options
        )


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda m: m.impute(some(2), num_samples=0), "`num_samples` is 0, expected"),
        (lambda m: m.impute({"x": [1.0]}), r"`partial` has \['x'\], expected some of"),
        (lambda m: m.generate({}), r"`given` is {}, expected {name: array"),
        (lambda m: m.generate({"x": [1.0]}), r"`given` has \['x'\], expected some of"),
        (lambda m: m.generate({"file": np.zeros((2, 3))}), r"expected \(2, 1\)"),
        (lambda m: m.generate(some(2, "file"), ["x"]), r"`targets` is \['x'\], expec"),
        (lambda m: m.generate(some(2, "file"), num_samples=0), "`num_samples` is 0"),
        (
            lambda m: m.generate(some(2, "file"), covariates={"batch": "B"}),
            "`covariates` is {'batch': 'B'}, expected None: the model has none",
        ),
        (lambda m: m.sample(2, prior="gmm"), r"`prior` is 'gmm', expected one of \('n"),
        (lambda m: m.log_likelihood_bound(some(2, "file"), ["assay"]), "`given` is"),
        (lambda m: m.log_likelihood_bound(some(2, "file"), ["file"]), "fewer than `"),
        (lambda m: m.evaluate(some(5, "file")), r"lacks \['assay', 'photo'\]"),
        (lambda m: m.evaluate(some(5), [0, 1, 2, 0, 1]), "row 2 is 2, expected"),
        (lambda m: m.save(ROOT), "exists, expected a new or empty one"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(model, ask, told):
    with pytest.raises(ValueError, match=told) as error:
        ask(model)
    assert "\n" not in str(error.value)


# --- evaluation, saving, programs ---------------------------------------------


def test_saved_and_loaded_it_draws_the_same_without_data(model, tmp_path):
    folder = model.save(tmp_path / "saved")
    config, name = programs.config_of(folder)
    assert name == "own/jnf" and config.data.records_dir == str(folder / "data")
    setup = open_experiment(config)  # as `evaluate --workdir` does
    assert setup.dataset.splits["train"].size == 48
    shutil.rmtree(folder / "data")
    loaded = jnf_jax.load(folder)
    given = some(5, "assay", "file")
    drawn, expected = (m.generate(given)["photo"] for m in (loaded, model))
    np.testing.assert_array_equal(drawn, expected)
    with pytest.raises(ValueError, match="need classifiers, and the training data are"):
        loaded.evaluate(some(20), LABELS[:20])
    record = loaded.evaluate(some(20))
    assert not record["coherence"]["conditional"] and record["num_tuples"] == 20
    assert set(record["unimodal_log_prob"]) == set(VIEWS)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    pytest.importorskip("safetensors")
    return model.export(tmp_path_factory.mktemp("export") / "wine")


@pytest.mark.filterwarnings("ignore:.*not to be trusted")
def test_an_exported_model_draws_the_same_and_holds_no_row(exported, model):
    assert {path.name for path in exported.iterdir()} == {
        *("model.safetensors", "export.json", "model.json", "config.json", "README.md")
    }
    loaded = jnf_jax.load(exported)
    given = some(5, "assay", "file")  # two of three: their chains' step is stored
    drawn, expected = (m.generate(given)["photo"] for m in (loaded, model))
    np.testing.assert_array_equal(drawn, expected)
    text = (exported / "config.json").read_text() + (
        exported / "model.json"
    ).read_text()
    assert str(model.folder) not in text
    card = (exported / "README.md").read_text()
    mean = model.trained.setup.dataset.scaling["assay"].mean[0]
    assert card.startswith("---\nlibrary_name: jnf_jax\n")
    assert f"| assay | [2] | standardise: mean {mean:.4g}, " in card
    assert "normal of scale 0.25 |" in card and "was not evaluated" in card
    again = loaded.export(exported.parent / "again")
    assert (again / "export.json").read_text() == (exported / "export.json").read_text()


@pytest.mark.filterwarnings("ignore:.*not to be trusted")
def test_an_exported_model_is_opened_in_another_process(exported, model, tmp_path):
    rows, out = tmp_path / "rows.npz", tmp_path / "out.npz"
    given = some(3, "assay", "file")
    rows.write_bytes(npz(given))
    command = [sys.executable, "-m", "jnf_jax.sample", "--workdir", exported]
    command += ["--given-file", rows, "--out", out, "--num_samples", "2"]
    # Away from the repository, and from the run that it was exported from.
    subprocess.run(command, cwd=tmp_path, check=True)
    expected = model.generate(given, num_samples=2)["photo"]
    with np.load(out) as found:
        np.testing.assert_allclose(found["photo"], expected, atol=1e-5)


def flipped(folder):
    """The last bit of the last number."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + bytes([1, 2, 3, 4]))


def edited(old, new):
    def edit(folder):
        text = (folder / "export.json").read_text()
        assert old in text
        (folder / "export.json").write_text(text.replace(old, new, 1))

    return edit


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (flipped, "model.safetensors: 'unimodal/.*' was changed since it was exported"),
        (
            edited('"format": 1', '"format": 2'),
            "has the format 2, expected 1: it was wr",
        ),
        (edited('"tensors": {', '"tensors": {"x": "0",'), "lacks 'x', which was expor"),
        (edited('"seconds"', '"second"'), "`seconds` is missing, expected float"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"no tensors"),
            "model.safetensors is damaged, or no safetensors",
        ),
    ],
)
def test_what_was_changed_in_an_export_is_said(exported, tmp_path, change, told):
    shutil.copytree(exported, tmp_path / "copy")
    change(tmp_path / "copy")
    with pytest.raises(ValueError, match=told) as error:
        jnf_jax.load(tmp_path / "copy")
    assert "\n" not in str(error.value)


def test_with_labels_it_is_judged_by_classifiers(model):
    record = model.evaluate(some(20), LABELS[:20])
    assert not validate(record), validate(record)
    assert set(record["coherence"]["conditional"]) == {"1", "2"}
    assert set(record["classifiers"]) == set(VIEWS)


def test_fit_again_trains_nothing_twice(model, capsys):
    again = jnf_jax.fit(VIEWS, LABELS, workdir=model.folder, overrides=TINY)
    assert again.trained.checkpoint_ids == model.trained.checkpoint_ids
    with pytest.raises(ValueError, match="holds other data"):
        jnf_jax.fit(some(50), workdir=model.folder)


def test_files_of_the_same_views_are_the_same_run(model, tmp_path, capsys):
    """Nothing is trained: data, splits and parameters are those of the arrays."""
    path = tmp_path / "views.npz"
    path.write_bytes(npz(VIEWS | {"kind": LABELS}))
    options = dict(workdir=model.folder, overrides=TINY)
    again = jnf_jax.fit(path, "kind", **options)
    assert again.trained.checkpoint_ids == model.trained.checkpoint_ids
    told = capsys.readouterr().out
    assert "own: train 48, validation 6, test 6 tuples of assay, file, photo" in told
    low, high = VIEWS["assay"].min(), VIEWS["assay"].max()
    expected = f"  assay  vector [2], {low:.4g} to {high:.4g}, standardised; mlp (8,) "
    expected += "and a linear path, identity, normal of scale 0.25\n"
    assert expected in told
    assert "  z: 2 numbers; stage joint with weight decay 0.021; stage un" in told
    assert "  labels: 2 classes, 2" in told
    with pytest.raises(ValueError, match="another scaling of them: expected the same"):
        jnf_jax.fit(
            path, "kind", **options | {"overrides": {"data.scaling.file": "none"}}
        )
    with pytest.raises(ValueError, match="`labels` is 'kind', expected integers with"):
        jnf_jax.fit(VIEWS, "kind", **options)
    with pytest.raises(
        ValueError, match="which is converted already: expected neither"
    ):
        jnf_jax.fit(model.folder / "data", LABELS, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_program_writes_the_same_numbers(model, tmp_path):
    rows, out = tmp_path / "rows.npz", tmp_path / "generated.npz"
    np.savez(rows, **some(5, "assay"))
    options = {"num_samples": 2, "seed": 3, "noise": True}
    generate_file(model.folder, RowFiles(rows), out, **options)
    with pytest.raises(ValueError, match="`--out` is 'x.png', expected a .npz"):
        generate_file(model.folder, RowFiles(rows), Path("x.png"), **options)
    with pytest.raises(ValueError, match="`--given-file` is .*config.json', expected"):
        files = RowFiles(model.folder / "config.json")
        generate_file(model.folder, files, out, **options)
    expected = model.generate(some(5, "assay"), **options)
    with np.load(out) as found:
        assert sorted(found) == ["file", "photo"]
        for t in expected:
            np.testing.assert_array_equal(found[t], expected[t])
    # The same numbers in a table: the draws are the same, and its ids go with them.
    lines = [
        "id,x,y,kind",
        *(f"p{i},{x},{y},k" for i, (x, y) in enumerate(VIEWS["assay"][:5])),
    ]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/assay.csv").write_text("\n".join(lines) + "\n")
    files = RowFiles(tmp_path / "tables", labels="kind", id_column="id")
    generate_file(model.folder, files, out, **options)
    with np.load(out) as found:
        assert found["rows.ids"].tolist() == ["p0", "p1", "p2", "p3", "p4"]
        np.testing.assert_array_equal(found["photo"], expected["photo"])


def test_how_draws_of_a_product_came_about_stands_beside_them(
    model, tmp_path, monkeypatch
):
    monkeypatch.setattr(new_rows, "FAR", 0.0)  # every draw is further away
    rows, out = tmp_path / "rows.npz", tmp_path / "generated.npz"
    rows.write_bytes(npz(some(4, "assay", "file")))
    options = {"num_samples": 2, "seed": 3, "noise": False}
    with pytest.warns(UserWarning, match="8 of 8 draws are not to .* 0, 1, 2, 3:"):
        generate_file(model.folder, RowFiles(rows), out, **options)
    with np.load(out) as found:
        chains = {n.partition(".")[2]: x for n, x in found.items() if "chains." in n}
        assert set(found) - {f"chains.{n}" for n in chains} == {"photo"}
    assert {*chains} == {"acceptance", "divergences", "distance", "is_suspect"}
    assert all(x.shape == (2, 4) for x in chains.values())
    assert chains["is_suspect"].all() and (chains["distance"] > 0).all()
    _, told = model.generate_and_judge(some(2, "assay"))
    assert told is None  # one view given: there is nothing to multiply


def test_load_opens_what_train_wrote(trained):
    loaded = jnf_jax.load(trained[0])
    x = RNG.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    drawn = loaded.generate({"m0": x, "m2": x}, num_samples=2)
    assert drawn["m1"].shape == (2, 3, 8, 8, 3)


def test_folders_that_are_no_runs(tmp_path, trained):
    with pytest.raises(ValueError, match=r"a data set, .*load_dataset\('digits'\)"):
        jnf_jax.load("digits")
    with pytest.raises(ValueError, match="has no config.json"):
        jnf_jax.load(tmp_path)
    shutil.copy(trained[0] / "config.json", tmp_path)
    with pytest.raises(ValueError, match="has no model.json, .* run jnf_jax.train"):
        jnf_jax.load(tmp_path)


def test_without_a_workdir_the_run_lives_as_long_as_the_model(model, monkeypatch):
    """Training is taken from the run that there is."""

    def train(config, folder, **options):
        shutil.copytree(model.folder, folder, dirs_exist_ok=True)

    monkeypatch.setattr(api, "train_and_evaluate", train)
    found = jnf_jax.fit(VIEWS, LABELS, overrides=TINY)
    folder = found.folder
    assert (folder / "model.json").exists()
    del found
    assert not folder.exists()


# --- what fit refuses ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"views": {}}, "`views` is {}, expected"),
        ({"views": some(60, "file")}, r"\['file'\] alone, expected two or more"),
        ({"views": some(9)}, "`views` have 9 rows, expected 20 or more"),
        ({"labels": CAUSE}, "`labels`: row 0 is .*, expected a whole number"),
        ({"config": "own/jmf"}, "'own/jnf'"),
        (
            {"config": "own/jnf_shared:xy"},
            "'own/jnf_shared:xy:.*' is no config, expected one of",
        ),
        (
            {"overrides": {"joint.num_step": 3}},
            "`joint.num_step` is unknown.*num_steps",
        ),
        (
            {"overrides": {"model.latent_dim": 0}},
            "`model.latent_dim` is 0, expected >=",
        ),
    ],
)
def test_faults_are_told_before_anything_is_trained(changes, told, tmp_path):
    arguments = {"views": VIEWS, "labels": None} | changes
    with pytest.raises(ValueError, match=told):
        jnf_jax.fit(**arguments, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- the package ------------------------------------------------------------


def test_one_version_and_a_cheap_import():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited[1] == jnf_jax.__version__
    script = "import jnf_jax, sys; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert all(callable(getattr(jnf_jax, name)) for name in jnf_jax.__all__)


def test_the_folder_that_load_reads_is_told(model):
    """The files that `run_folder` names are there, and what they hold is plain."""
    names = {path.name for path in model.folder.iterdir()}
    assert {"config.json", "model.json", "calibration.npz", "data"} <= names
    with np.load(model.folder / "calibration.npz", allow_pickle=False) as stored:
        assert {m: len(stored[m]) for m in stored} == dict.fromkeys(VIEWS, 48)
    assert run_folder.open_model(model.folder).setup.dataset.splits == {}
