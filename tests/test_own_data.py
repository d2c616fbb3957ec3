"""The example of a data set of one's own: fit, measured, drawn; and another method."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jnf_jax
from jnf_jax.configs.own import jnf
from jnf_jax.data import own, record_files
from jnf_jax.experiments import config_files, run_folder
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.run import train_and_evaluate
from jnf_jax.experiments.schema import validate

ROOT = Path(__file__).parents[1]
VIEWS = ("assay", "photo", "track")
TINY = {
    "model.latent_dim": 4,
    "model.joint_hidden_sizes": (16,),
    **{f"model.networks.{m}.kind": "mlp" for m in VIEWS},
    **{f"model.networks.{m}.hidden_sizes": (32,) for m in VIEWS},
    "flow.hidden_sizes": (8,),
    "subset_posterior.hidden_sizes": (8,),
    "joint.num_steps": 60,
    "subsets.num_steps": 20,
}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("own", ROOT / "examples/own_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "data"
    own.write(folder, *example.draw(0, 400))
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("user_cache")
def test_the_example_end_to_end(example, tmp_path, capsys):
    example.main(tmp_path, size=560, overrides=TINY)
    told = capsys.readouterr().out
    assert re.search(
        r"assay +vector \[12\], .*, standardised; mlp \(32,\) and a linear path, "
        r"identity, normal of scale 0\.25, learnt",
        told,
    )
    assert "tracks (8, 3, 24, 2)" in told
    config, name = run_folder.read_config(tmp_path)
    config.evaluation.update(num_prior_samples=50, batch_size=25)
    config.evaluation.num_diagnostic_data = 8
    config.evaluation.classifier.num_steps = 150
    record = train_and_evaluate(config, tmp_path, config_name=name, command="train …")
    assert not validate(record)
    assert record["dataset"] == "own" and record["config"] == "own/jnf"
    # Classifiers read vectors and sequences too: waves of a class are easy to tell.
    assert min(record["classifiers"].values()) > 0.9
    # The model's assays go from -2 to 2. Decoder means clipped to [0, 1] would have no
    # line in the lower halves of their panels, which fill bands of 72 pixels.
    picture = np.asarray(Image.open(tmp_path / "samples" / "given_photo.png"), int)
    is_line = np.abs(picture - [0x1F, 0x5A, 0xAA]).sum(axis=-1) < 150
    draws_of_assay, place = is_line[34:, 180:460], np.arange(len(picture) - 34) % 72
    for half in ((2 < place) & (place < 28), (36 < place) & (place < 62)):
        assert draws_of_assay[half].mean() > 0.01
    assert jnf_jax.load(tmp_path).sample(2)["assay"].mean() > 10


def test_shapes_choose_networks_and_likelihoods(folder):
    config = config_files.load_config(f"own/jnf:{folder}")
    kinds = {m: network.kind for m, network in config.model.networks.items()}
    assert kinds == dict(default="mlp", photo="conv", assay="mlp", track="mlp")
    assert config.model.networks.photo.activation == "sigmoid"
    assert config.model.likelihoods.assay.scale == pytest.approx(0.3, rel=1e-4)
    assert config.joint.batch_size == 64 and config.model.latent_dim == 16
    assert config.model.networks.assay.hidden_sizes == (32,)  # of 320 rows
    assert config.optimizer.weight_decay == 1 / 320
    assert config.joint.weight_decay == 8 / 320
    assert config.subset_posterior.simulated_share == 0  # a photo costs too much
    assert not config.optimizer.decay_by_inputs  # which is for fewer rows
    assert not config.model.likelihoods.photo.learns_scale
    assert jnf.sizes_of(1_120, 24) == (12, 128, 1 / 1_120)
    assert jnf.sizes_of(80, 2) == (2, 32, 1 / 80)
    assert jnf.sizes_of(100, 13) == (3, 32, 1 / 100)
    assert jnf.sizes_of(20, 13) == (2, 32, 1 / 20)
    assert jnf.sizes_of(320, 30) == (15, 32, 1 / 320)
    assert jnf.sizes_of(10**6, 10**4) == (16, 256, 1e-6)
    resolve(config)


@pytest.mark.parametrize(("num_columns", "rate"), [(200, 1e-2), (201, 1e-3)])
def test_tables_of_many_columns_learn_slowly(tmp_path, num_columns, rate):
    """At 1e-2 one of 20,000 diverged within five steps."""
    x = np.random.default_rng(0).standard_normal((20, num_columns)).astype(np.float32)
    own.write(tmp_path / "data", {"wide": x[:, 1:], "one": x[:, :1]})
    config = config_files.load_config(f"own/jnf:{tmp_path / 'data'}")
    assert config.joint.learning_rate == rate
    share = config.subset_posterior.simulated_share
    assert share == (0.5 if num_columns == 200 else 0)


@pytest.mark.parametrize("objective", ["cl", "dcca"])
def test_jnf_shared_takes_the_same_folder(folder, objective):
    config = config_files.load_config(f"own/jnf_shared:{objective}:{folder}")
    setup = open_experiment(config)
    assert [stage.name for stage in setup.method.stages] == [
        "shared", "joint", "unimodal",
    ]  # fmt: skip
    assert config.shared.batch_size == 320  # of 400 rows


def test_a_denoiser_draws_pictures_in_unit_range_alone(folder, tmp_path):
    """Vectors and sequences have none; floats of a picture's shape are refused."""

    def config_of(folder):
        config = config_files.load_config(f"own/jnf:{folder}")
        with config.unlocked():
            config.stages = "joint,diffusion_decoder"
            config.denoiser = dict(features=(8, 8), num_blocks=1)
            config.diffusion_decoder = dict(num_steps=1, batch_size=4)
        return config

    decoder = open_experiment(config_of(folder)).method.diffusion_decoder
    assert decoder.modalities == ("photo",)
    floats = [({"map": np.full((8, 4, 4, 1), -1.0, np.float32)}, np.arange(8) % 4)]
    splits = dict.fromkeys(("train", "validation", "test"), floats)
    record_files.write(tmp_path / "maps", name="maps", num_classes=4, splits=splits)
    with pytest.raises(ValueError, match=r"`denoiser` draws .*: \['map'\] of 'maps'"):
        open_experiment(config_of(tmp_path / "maps"))


def test_a_folder_without_data_is_told(tmp_path):
    with pytest.raises(ValueError, match="holds no manifest.json: expected a folder"):
        config_files.load_config(f"own/jnf:{tmp_path}")


@pytest.mark.usefixtures("user_cache")
def test_rows_that_lack_views_are_learnt_from(tmp_path):
    """And judged where all views are there; a model that knows no holes says so."""
    rng, size = np.random.default_rng(0), 200
    cause = rng.standard_normal((size, 1))
    views = {m: cause + rng.normal(0, 0.1, (size, 2)) for m in "abc"}
    for x in views.values():
        x[rng.uniform(size=size) < 0.2] = np.nan
    empty = np.all([np.isnan(x).all(1) for x in views.values()], axis=0)
    views = {m: x[~empty] for m, x in views.items()}
    overrides = {
        "model.latent_dim": 2,
        "model.joint_hidden_sizes": (8,),
        **{f"model.networks.{m}.hidden_sizes": (8,) for m in views},
        "subset_posterior.hidden_sizes": (8,),
        "flow.hidden_sizes": (8,),
        "joint.num_steps": 4,
        "subsets.num_steps": 4,
        "subsets.batch_size": 16,
        "evaluation.num_prior_samples": 50,
        "evaluation.batch_size": 4,
        "evaluation.num_diagnostic_data": 4,
    }
    with pytest.raises(ValueError, match="`model.partial_rows` is False, expected Tru"):
        jnf_jax.fit(views, overrides=overrides | {"model.partial_rows": False})
    model = jnf_jax.fit(views, workdir=tmp_path / "run", overrides=overrides)
    assert model.trained.setup.experiment.model.partial_rows
    drawn = model.generate({"b": np.zeros((3, 2))}, num_samples=2)
    assert {m: x.shape for m, x in drawn.items()} == {"a": (2, 3, 2), "c": (2, 3, 2)}
    assert all(np.isfinite(x).all() for x in drawn.values())
    setup = open_experiment(run_folder.read_config(tmp_path / "run")[0])
    whole = setup.dataset.splits["test"].has_all
    record = train_and_evaluate(
        run_folder.read_config(tmp_path / "run")[0], tmp_path / "run"
    )
    assert not validate(record)
    assert record["num_tuples"] == whole.sum() < len(whole)
