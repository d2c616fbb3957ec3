"""Pictures and files of modalities that are no pictures, from loading to writing."""

import wave

import cub_files
import handwriting_files
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from tiny import tiny_config

from jnf_jax.configs.cub import jnf as cub
from jnf_jax.configs.handwriting import jnf as handwriting
from jnf_jax.evaluation.samples import save
from jnf_jax.experiments import new_rows
from jnf_jax.experiments.draws import draw_conditional
from jnf_jax.experiments.evaluate import LEAST_ACCURACY, _classifiers
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.methods.method import Batch
from jnf_jax.runtime import parallel


def after_one_step(setup):
    """Parameters of all stages: the first's after a step of gradient descent."""
    first, second = setup.method.stages
    arrays = setup.dataset.splits["train"].arrays

    @jax.jit
    def run(arrays):
        views = setup.dataset.fetch(arrays, jnp.arange(8))

        def loss(params):
            return first.loss(params, None, jax.random.key(1), Batch(views))[0]

        params = first.init(jax.random.key(0))
        value, grads = jax.value_and_grad(loss)(params)
        stepped = jax.tree.map(lambda p, g: p - 1e-4 * jnp.sign(g), params, grads)
        norms = jax.tree.map(optax.tree.norm, grads)
        return stepped, second.init(jax.random.key(2)), value, norms

    stepped, fresh, value, norms = run(arrays)
    assert np.isfinite(value) and all(map(np.isfinite, jax.tree.leaves(norms)))
    # Every decoder learns, and so does what reads each modality.
    assert all(jax.tree.leaves(jax.tree.map(np.any, norms["decoders"])))
    return {"joint": stepped, "unimodal": fresh}


def test_handwriting_from_files_to_drawings_and_sound(tmp_path):
    pytest.importorskip("librosa")
    config = handwriting.get_config()
    config.data.update(
        data_dir=str(handwriting_files.write(tmp_path / "files")),
        cache_dir=str(tmp_path),
        validation_speaker="ben",
        test_speaker="carla",
    )
    config.model.update(latent_dim=4, joint_hidden_sizes=(8,))
    for name in ("image", "speech", "trajectory"):
        config.model.networks[name].update(features=(4,), hidden_sizes=(8,))
    config.model.networks.image.kind = "mlp"  # compiles faster
    config.flow.update(num_blocks=1, hidden_sizes=(8,))
    setup = open_experiment(config)
    params = after_one_step(setup)
    drawn = draw_conditional(setup, params, ("image",), np.arange(3), seed=0)
    assert {m: x.shape for m, x in drawn.generated.items()} == {
        "speech": (3, 32, 64, 1),
        "trajectory": (3, 64, 3),
    }
    written = save(setup.dataset, drawn, tmp_path / "given_image.png")
    assert [path.name for path in written] == [
        "given_image.png",
        "given_image_speech.wav",
    ]
    assert np.array(Image.open(written[0])).std() > 1
    with wave.open(str(written[1])) as file:
        assert file.getnframes() == 3 * (8064 + 4000)


def test_birds_from_files_to_captions(tmp_path):
    path = cub_files.write(tmp_path)
    config = cub.get_config()
    config.data.update(
        captions_file=str(path),
        data_dir=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
    )
    config.model.update(latent_dim=4, joint_hidden_sizes=(8,))
    for name in ("image", "text"):
        config.model.networks[name].update(features=(4,), hidden_sizes=(8,))
    config.model.networks.image.kind = "mlp"  # compiles faster
    config.flow.update(num_blocks=1, hidden_sizes=(8,))
    setup = open_experiment(config)
    assert [view.weight for view in setup.method.inference.joint.views] == [1 / 384, 5]
    drawn = draw_conditional(
        setup, after_one_step(setup), ("image",), np.arange(3), seed=0
    )
    np.testing.assert_allclose(drawn.generated["text"].sum(-1), 1, rtol=1e-5)
    written = save(setup.dataset, drawn, tmp_path / "given_image.png")
    names = [path.name for path in written]
    assert names == ["given_image.png", "given_image_text.txt"]
    assert len(written[1].read_text().splitlines()) == 3


def test_draws_that_are_not_to_be_trusted_are_told(monkeypatch):
    config = tiny_config(flow__num_blocks=0)  # multiplied in closed form: no chain
    setup, lines = open_experiment(config), []
    keys = jax.random.split(jax.random.key(0), len(setup.method.stages))
    params = {
        stage.name: jax.jit(stage.init)(key)
        for stage, key in zip(setup.method.stages, keys, strict=True)
    }
    for far, told in (
        (1e9, []),
        (0.0, ["warning: 3 of 3 draws are not to be trusted"]),
    ):
        monkeypatch.setattr(new_rows, "FAR", far)
        lines.clear()
        draw_conditional(
            setup, params, ("m0", "m1"), np.arange(3), 0, report=lines.append
        )
        assert [line.partition(", of")[0] for line in lines] == told


@pytest.mark.usefixtures("fully_optimised")
@pytest.mark.parametrize("num_steps", [1, 300])
def test_classifiers_that_cannot_read_are_told(num_steps):
    settings = dict(num_steps=num_steps, batch_size=64, select="last")
    setup = open_experiment(tiny_config(evaluation__classifier=settings))
    lines = []
    found = _classifiers(setup, parallel.make_mesh(), lines.append)
    poor = [m for m, share in found.accuracy.items() if share < LEAST_ACCURACY]
    assert bool(poor) == (num_steps == 1)
    assert len(lines) == len(poor)
    for m, line in zip(poor, lines, strict=True):
        assert line.startswith(f"warning: the classifier of {m} reads ")
