"""JNF-Shared's configs of data sets that come as files: resolved, built, one step."""

import importlib

import cub_files
import handwriting_files
import jax
import jax.numpy as jnp
import mhd_files
import numpy as np
import pytest

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
def test_projectors_and_flows_take_a_step(folder, name, files, prepared):
    if folder == "handwriting":
        pytest.importorskip("librosa")
    config = tiny(folder, name, files[folder], prepared[0] / "cache")
    setup = open_experiment(config)
    assert setup.experiment.stages == ("shared", "joint", "unimodal")
    assert setup.experiment.projectors.objective == OBJECTIVES[name]
    shared, joint, unimodal = setup.method.stages
    rng_key = jax.random.key(0)

    def step(stage, params, batch):
        def loss(params):
            return stage.loss(params, None, rng_key, batch)[0]

        value, grads = jax.value_and_grad(loss)(params)
        norms = jax.tree.map(lambda g: jnp.abs(g).max(), grads)
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, grads), value, norms

    @jax.jit
    def both_steps(arrays):
        views = setup.dataset.fetch(arrays, jnp.arange(24))
        trained, *first = step(shared, shared.init(rng_key), Batch(views))
        params = {"shared": trained, "joint": joint.init(rng_key)}
        batch = Batch(views, unimodal.cache(params, views))
        return first, step(unimodal, unimodal.init(rng_key), batch)[1:]

    (loss, norms), flows = both_steps(setup.dataset.splits["train"].arrays)
    assert all(np.isfinite(x) for x in jax.tree.leaves((loss, norms, flows)))
    # Every modality's projector learns, and so does every flow's base.
    for modality in setup.dataset.shapes:
        assert max(jax.tree.leaves(norms["projectors"][modality])) > 0
        assert max(jax.tree.leaves(flows[1][modality])) > 0
