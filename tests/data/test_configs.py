"""Configs of data sets that come as files: projectors and learnt priors take steps."""

import cub_files
import handwriting_files
import jax
import jax.numpy as jnp
import mhd_files
import ml_collections
import numpy as np
import pytest
from oracles import random_like

from jnf_jax.experiments import config_files
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.stages import bind_stage
from jnf_jax.methods.method import Batch
from jnf_jax.training.optimizers import make_optimizer
from jnf_jax.training.train_step import init_state, make_step

OBJECTIVES = {"jnf_shared:cl": "nt_xent", "jnf_shared:dcca": "dcca"}
FOLDERS = ("cub", "handwriting", "mhd", "translated_polymnist")
PRIORS = {  # config -> the stage that learns its prior
    "cub/jnf_ebm": "joint",
    "mnist_svhn/jnf_ebm": "joint",
    "polymnist/jnf_after:diffusion": "prior",
    "polymnist/jnf_ebm": "joint",
    "polymnist/mmvae_plus:ebm": "joint",
    "translated_polymnist/jnf_after:ebm": "prior",
    "translated_polymnist/jnf_after:maf": "prior",
}
SMALLEST = dict(  # of the fields that say how large a network is
    hidden_size=4,
    hidden_sizes=(4,),
    joint_hidden_sizes=(4,),
    latent_dim=2,
    num_blocks=1,
    num_layers=1,
    posterior_hidden_sizes=(4,),
    private_dim=2,
    size=2,
)


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
        "mnist_svhn": dict(data_dir=str(prepared[0])),
        "polymnist": dict(data_dir=str(prepared[0]), num_modalities=2),
        "translated_polymnist": dict(data_dir=str(prepared[0]), num_modalities=2),
    }


def tiny(folder, name, places, cache):
    """The config with the smallest networks of its kinds; pictures by perceptrons."""
    config = config_files.load_config(f"{folder}/{name}")
    config.data.update(cache_dir=str(cache), **places)
    shrink(config)
    for network in config.model.networks.values():
        if network.kind == "transformer":
            network.features = (4,)
        else:
            network.kind = "mlp"  # compiles faster
    return config


def shrink(section):
    """Sets the fields that are in ``SMALLEST``, in all sections."""
    for name, value in section.items():
        if isinstance(value, ml_collections.ConfigDict):
            shrink(value)
        elif name in SMALLEST:
            section[name] = SMALLEST[name]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("folder", FOLDERS)
def test_projectors_take_a_step(folder, name, files, prepared):
    if folder == "handwriting":
        pytest.importorskip("librosa")
    config = tiny(folder, name, files[folder], prepared[0] / "cache")
    setup = open_experiment(config)
    assert setup.experiment.stages == ("shared", "joint", "unimodal")
    assert setup.experiment.sections["projectors"].objective == OBJECTIVES[name]
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


@pytest.mark.parametrize("path", PRIORS)
def test_a_prior_learns_when_its_config_says(path, files, prepared):
    """Two steps of its stage, with the optimiser that the config asks for."""
    folder, name = path.split("/")
    config = tiny(folder, name, files[folder], prepared[0] / "cache")
    trained = config[PRIORS[path]]
    if "prior_start_step" in trained:  # at the same share of the stage
        trained.prior_start_step = trained.prior_start_step * 2 // trained.num_steps
    trained.update(num_steps=2, batch_size=8)
    setup = open_experiment(config)
    stages = {stage.name: stage for stage in setup.method.stages}
    learns = stages[PRIORS[path]]
    assert learns.name in setup.experiment.stages
    needed = {n: jax.jit(stages[n].init)(jax.random.key(0)) for n in learns.needs}
    settings = setup.experiment.training[learns.name]
    stage = bind_stage(learns, setup.dataset, needed, settings=settings)
    per_epoch = stage.steps_per_epoch(settings.batch_size)
    optimizer = make_optimizer(settings, per_epoch, stage.groups)
    step, key = jax.jit(make_step(stage, optimizer, settings)), jax.random.key(1)
    state = jax.jit(lambda k: init_state(k, stage, optimizer, settings))(key)
    # Stage "prior" also has a whitening, which nothing learns.
    part = {"joint": "prior", "prior": "density"}[learns.name]
    for number, rows in enumerate(jnp.arange(16).reshape(2, 8)):
        before = state.params[part]
        state, metrics = step(state, stage.frozen, stage.train_arrays, rows, key)
        assert np.isfinite(metrics["loss"])
        moved = jax.tree.map(
            lambda a, b: float(np.abs(a - b).max()), before, state.params[part]
        )
        largest = max(jax.tree.leaves(moved))
        assert largest < np.inf
        assert (largest > 0) == (number >= settings.prior_start_step)
    assert largest > 0  # some of the stage is left for it
