"""A data set of one's own, bytes and floats: written, trained on, measured, drawn."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jnf_jax.configs.records import jnf
from jnf_jax.data import record_files
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.run import train_and_evaluate
from jnf_jax.experiments.schema import validate

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What examples/own_data.py writes, smaller."""
    spec = importlib.util.spec_from_file_location("own", ROOT / "examples/own_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("own") / "data"
    module.main(folder, {"train": 400, "validation": 80, "test": 80})
    return folder


def tiny(folder, **changes):
    config = jnf.get_config()
    with config.unlocked():
        config.data.records_dir = str(folder)
        config.model.networks = dict(
            default=dict(kind="mlp", hidden_sizes=(32,), activation="identity")
        )
        config.model.update(latent_dim=4, joint_hidden_sizes=(16,))
        config.flow.hidden_sizes = (8,)
        config.sampler.update(num_transitions=4, num_adaptation=4)
        config.joint = dict(num_steps=60, batch_size=32, learning_rate=3e-3)
        config.unimodal = dict(num_steps=20, batch_size=32)
        config.evaluation.update(num_prior_samples=50, num_tuples=50, batch_size=25)
        config.evaluation.num_diagnostic_data = 8
        config.evaluation.classifier = dict(num_steps=150, batch_size=32, select="last")
        config.update(changes)
    return config


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compiles", "user_cache")
def test_bytes_and_floats_end_to_end(folder, tmp_path):
    record = train_and_evaluate(tiny(folder), tmp_path, command="train …")
    assert not validate(record)
    assert record["dataset"] == "own"
    assert set(record["coherence"]["conditional"]) == {"1", "2"}
    # Classifiers read vectors and sequences too: waves of a class are easy to tell.
    assert min(record["classifiers"].values()) > 0.9
    # Assays go from -1 to 1. A decoder mean that were clipped to [0, 1] would show
    # nothing darker than the grey of 0.
    picture = np.asarray(
        Image.open(tmp_path / "samples" / "given_photo.png").convert("L")
    )
    drawn = picture[len(picture) // 2 :, 200:]  # right of the labels
    assert np.mean(drawn < 100) > 0.1 < np.mean((150 < drawn) & (drawn < 250))


def test_a_denoiser_draws_pictures_in_unit_range_alone(folder, tmp_path):
    """Vectors and sequences have none; floats of a picture's shape are refused."""
    config = tiny(folder, stages="joint,diffusion_decoder")
    with config.unlocked():
        config.denoiser = dict(features=(8, 8), num_blocks=1)
        config.diffusion_decoder = dict(num_steps=1, batch_size=4)
    decoder = open_experiment(config).method.diffusion_decoder
    assert decoder.modalities == ("photo",)
    floats = [({"map": np.full((8, 4, 4, 1), -1.0, np.float32)}, np.arange(8) % 4)]
    splits = dict.fromkeys(("train", "validation", "test"), floats)
    record_files.write(tmp_path / "maps", name="maps", num_classes=4, splits=splits)
    config.data.records_dir = str(tmp_path / "maps")
    with pytest.raises(ValueError, match=r"`denoiser` draws .*: \['map'\] of 'maps'"):
        open_experiment(config)
