"""JNF-Shared's configs of data sets that come as files: resolved, built, one step."""

import importlib

import cub_files
import handwriting_files
import jax
import jax.numpy as jnp
import mhd_files
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.experiment import open_experiment
from jnf_jax.methods.method import Batch

OBJECTIVES = {"jnf_shared_cl": "nt_xent", "jnf_shared_dcca": "dcca"}
FOLDERS = ("cub", "handwriting", "mhd", "translated_polymnist")


@pytest.fixture(scope="module")
def files(tmp_path_factory, prepared, torch_save):
    """Folder of configs -> what its ``data`` needs to find generated files."""
    root = tmp_path_factory.mktemp("files")
    mhd_files.write(root, torch_save)
    speakers = dict(validation_speaker="ben", test_speaker="carla")
    return {
        "cub": dict(captions_file=str(cub_files.write(root)), data_dir=str(root)),
        "handwriting": dict(
            data_dir=str(handwriting_files.write(root / "digits")), **speakers
        ),
        "mhd": dict(data_dir=str(root)),
        "translated_polymnist": dict(data_dir=str(prepared[0]), num_modalities=2),
    }


def tiny(folder, name, places, cache):
    """The config with the smallest networks of its kinds; pictures by perceptrons."""
    config = importlib.import_module(f"configs.{folder}.{name}").get_config()
    config.data.update(cache_dir=str(cache), **places)
    config.model.update(latent_dim=2, joint_hidden_sizes=(4,))
    for network in config.model.networks.values():
        network.hidden_sizes = (4,)
        if network.kind == "transformer":
            network.features = (4,)
        else:
            network.kind = "mlp"  # compiles faster
    config.flow.update(num_blocks=1, hidden_sizes=(4,))
    config.projectors.update(size=2, posterior_hidden_sizes=(4,))
    return config


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_projectors_take_a_step(folder, name, files, prepared):
    if folder == "handwriting":
        pytest.importorskip("librosa")
    config = tiny(folder, name, files[folder], prepared[0] / "cache")
    setup = open_experiment(config)
    assert setup.experiment.stages == ("shared", "joint", "unimodal")
    assert setup.experiment.projectors.objective == OBJECTIVES[name]
    shared, _, unimodal = setup.method.stages
    params = random_like(jax.eval_shape(shared.init, jax.random.key(0)), 0)

    @jax.jit
    def step(params, arrays):
        views = setup.dataset.fetch(arrays, jnp.arange(24))

        def loss(params):
            return shared.loss(params, None, jax.random.key(1), Batch(views))[0]

        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, grads), value

    stepped, value = step(params, setup.dataset.splits["train"].arrays)
    assert np.isfinite(value)
    # Every modality's projector learns; flows read what these are wide.
    for modality in setup.dataset.shapes:
        before, after = (p["projectors"][modality] for p in (params, stepped))
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), before, after)
        assert 0 < max(jax.tree.leaves(moved)) < np.inf
    flows = jax.eval_shape(unimodal.init, jax.random.key(0))
    assert flows.keys() == setup.dataset.shapes.keys()
