"""Runs of the methods with aggregated posteriors, from their configs to a record."""

import math

import pytest

from jnf_jax.experiments import config_files
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.options import override
from jnf_jax.experiments.run import train_and_evaluate

pytestmark = pytest.mark.usefixtures("user_cache")

SMALL = {
    "data.num_modalities": 2, "data.image_size": 8, "data.repeats": 1,
    "data.validation_repeats": 1, "data.test_repeats": 1,
    "model.latent_dim": 3, "model.networks.default.kind": "mlp",
    "model.networks.default.hidden_sizes": (8,),
    "joint.num_steps": 2, "joint.batch_size": 16,
    "evaluation.num_prior_samples": 50, "evaluation.num_tuples": 50,
    "evaluation.batch_size": 50, "evaluation.num_diagnostic_data": 8,
    "evaluation.classifier.num_steps": 10, "evaluation.classifier.batch_size": 16,
}  # fmt: skip


SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("mvae", "mmvae", "mmjsd", "mvtcae")
]


@pytest.mark.parametrize("name", ["mopoe", *SLOW])
def test_a_config_ends_in_a_record_without_chains(name, tmp_path):
    config = config_files.load_config(f"digits/{name}")
    override(config, SMALL)
    about = dict(config_name=f"digits/{name}", command="python -m …")
    record = train_and_evaluate(config, tmp_path, **about)
    assert record["method"] == name and record["sampler"] == {}
    prior = "learnable_scale" if name == "mmvae" else "normal"
    assert set(record["coherence"]["joint"]) == {prior}
    densities = record["subset_log_prob"]
    assert set(densities) == {"", "m0", "m1"}
    assert all(math.isfinite(value) for value in densities.values())


def test_mld_ends_in_a_record_of_draws_without_densities(tmp_path):
    config = config_files.load_config("digits/mld")
    own = {
        "autoencoders.num_steps": 2, "autoencoders.batch_size": 16,
        "mld.hidden_size": 8, "mld.num_layers": 1, "mld.num_steps": 3,
    }  # fmt: skip
    override(config, SMALL | own)
    about = dict(config_name="digits/mld", command="python -m …")
    record = train_and_evaluate(config, tmp_path, **about)
    assert record["method"] == "mld" and record["sampler"] == {}
    assert set(record["coherence"]["joint"]) == {"diffusion"}
    assert set(record["coherence"]["conditional"]) == {"1"}
    assert not {"unimodal_log_prob", "subset_log_prob"} & record.keys()
    refused = "`evaluation.measures` has 'likelihood', expected none of"
    override(config, {"evaluation.measures": "likelihood"})
    with pytest.raises(ValueError, match=refused):
        open_experiment(config)
