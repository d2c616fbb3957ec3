"""Models of MultiVae, read: what they encode and decode is what MultiVae says."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jnf_jax
from jnf_jax.experiments import config_files
from jnf_jax.experiments.experiment import load_stage, open_experiment
from jnf_jax.interop import multivae


@pytest.mark.parametrize("name", ["JMVAE", "JNF", "MoPoE"])
def test_reconstructions_are_theirs(name, theirs, views):
    folder, arrays = theirs
    found = multivae.read(folder / name)
    inference, params = found.setup.method.inference, found.params
    assert found.setup.experiment.method == multivae.METHODS[name]
    decoded = inference.decode(params, jnp.asarray(arrays["encoded/joint"]))
    for m, distribution in decoded.items():
        wanted = arrays[f"decoded/{m}"]
        wanted = np.moveaxis(wanted, 1, -1) if wanted.ndim == 4 else wanted
        np.testing.assert_allclose(distribution.mean(), wanted, atol=1e-4)
    if name in ("JMVAE", "JNF"):
        means = {"joint": inference.joint.code(params["joint"], views).mean}
    else:
        codes = inference.joint.code(params["joint"], views)
        means = {m: code.mean for m, code in codes.items()}
    for m, mean in means.items():
        np.testing.assert_allclose(mean, arrays[f"encoded/{m}"], atol=1e-4)


def test_a_converted_model_is_one_of_ours(theirs, views, tmp_path):
    folder, arrays = theirs
    model = multivae.convert(folder / "JMVAE", tmp_path / "mine")
    assert model.shapes == {"assay": (5,), "caption": (4,), "photo": (3, 2, 2)}
    likelihood = model.trained.setup.experiment.model.likelihood("assay")
    assert (likelihood.name, likelihood.scale) == ("normal", 0.5)
    assert likelihood.weight == pytest.approx(12 / 5)
    again = jnf_jax.load(tmp_path / "mine")
    given = {m: views[m] for m in ("assay", "photo")}
    drawn = again.generate(given, num_samples=2)["caption"]
    assert drawn.shape == (2, 8, 4) and 0 <= drawn.min() < drawn.max() <= 1
    with pytest.raises(ValueError, match="`to` .* exists, expected a new"):
        multivae.convert(folder / "MoPoE", tmp_path / "mine")
    with pytest.raises(ValueError, match="is a JNF, of which the joint VAE alone"):
        multivae.convert(folder / "JNF", tmp_path / "other")


def test_a_config_goes_on_from_a_joint_vae(theirs, tmp_path, monkeypatch):
    """The stage "joint" of a config that has the same networks, on its own data."""
    folder, arrays = theirs
    rows = {m: np.tile(arrays[f"data/{m}"], (3, 1, 1, 1)[: arrays[f"data/{m}"].ndim])
            for m in ("photo", "assay", "caption")}  # fmt: skip
    rows["photo"] = np.moveaxis(rows["photo"], 1, -1)
    jnf_jax.data.own.write(tmp_path / "data", rows)
    width = found_width(folder)
    (tmp_path / "mine.py").write_text(
        f"""
from jnf_jax.configs.own import jnf


def get_config():
    config = jnf.get_config({str(tmp_path / "data")!r})
    with config.unlocked():
        config.model.update(latent_dim=3, head_size=3)
        config.model.joint_hidden_sizes = ({width},) * 2
        config.model.linear_path = False
        for network in config.model.networks.values():
            network.update(kind="mlp", features=(), hidden_sizes=({width},) * 2)
            network.update(activation="sigmoid", linear_path=False)
        for likelihood in config.model.likelihoods.values():
            likelihood.learns_scale = False
    return config
"""
    )
    config = str(tmp_path / "mine.py")
    directory = multivae.write_joint(folder / "JNF", config, tmp_path / "joint")
    setup = open_experiment(config_files.load_config(config))
    params, _, _ = load_stage(setup, setup.method.stages[0], directory, {})
    wanted = multivae.read(folder / "JNF").params["joint"]
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, wanted))
    other = tmp_path / "other.py"
    other.write_text((tmp_path / "mine.py").read_text().replace("dim=3", "dim=4"))
    with pytest.raises(ValueError, match="≠ encoder/body/mean/kernel"):
        multivae.write_joint(folder / "JNF", str(other), tmp_path / "other")


def found_width(folder):
    return multivae.read(folder / "JNF").setup.experiment.model.joint_hidden_sizes[0]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("JMVAE", {"name": "TELBOConfig"}, "it is a TELBO; supported are JMVAE"),
        ("JMVAE", {"custom_architectures": ["encoders"]}, r"is \['encoders'\]; supp"),
        ("JMVAE", {"input_dims": None}, "`input_dims` is None; supported"),
        ("JMVAE", {"decoders_dist": {"assay": "bernoulli"}}, "assay` is 'bernoulli'"),
        ("MoPoE", {"modalities_specific_dim": {"assay": 2}}, "it has private latents"),
        ("MoPoE", {"subsets": [["assay"], ["photo"]]}, "it has 2 subsets; supported"),
        ("MMVAE", {"prior_and_posterior_dist": "normal"}, "_dist` is 'normal'; supp"),
        ("JMVAE", {"name": "MoPoEConfig"}, "has tensors .'joint_encoder"),
        ("MoPoE", {"name": "JMVAEConfig", "alpha": 0.1}, "has no tensor 'joint_enc"),
        ("JMVAE", {"latent_dim": 4}, "model.pt does not fit"),
        ("MoPoE", {"name": "MVTCAEConfig"}, "model_config.json lacks 'alpha'; supp"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_can(
    name, change, message, theirs, tmp_path
):
    shutil.copytree(theirs[0] / name, tmp_path / "copy")
    path = tmp_path / "copy" / "model_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        multivae.read(tmp_path / "copy")


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ValueError, match="has no model_config.json, which MultiVae"):
        multivae.read(tmp_path)
