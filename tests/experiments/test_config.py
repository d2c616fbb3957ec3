"""What a config may get wrong is told before anything is trained."""

import pytest
from tiny import tiny_config

from jnf_jax.experiments import experiment
from jnf_jax.experiments.run import train_and_evaluate

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "`projectors.objective` is missing"),
        (
            dict(projectors=dict(objective="cca", size=3)),
            "`projectors.objective` is 'cca', expected one of",
        ),
        (
            dict(
                projectors=dict(objective="dcca", size=3),
                shared=dict(num_steps=20, batch_size=6),
            ),
            "`shared.batch_size` is 6, expected more than",
        ),
        (
            dict(method="jnf", projectors=dict(objective="dcca", size=3)),
            "`projectors` is a section of 'jnf_shared', got `method` 'jnf'",
        ),
    ],
)
def test_faults_of_projectors(changes, told):
    settings = dict(method="jnf_shared", shared=dict(num_steps=20, batch_size=64))
    config = tiny_config(**{**settings, **changes})
    with pytest.raises(ValueError, match=told):
        experiment.open_experiment(config)


def test_faults_of_a_diffusion_decoder():
    config = tiny_config(
        denoiser=dict(features=(), num_block=1),
        diffusion_decoder=dict(num_steps=0, batch_size=16),
    )
    with pytest.raises(ValueError, match="Did you mean 'num_blocks'") as told:
        experiment.open_experiment(config)
    assert "`diffusion_decoder.num_steps` is 0, expected >= 1" in str(told.value)
    config = tiny_config(evaluation__measures="diffusion_decoder")
    with pytest.raises(ValueError, match="expected a section `denoiser` with it"):
        experiment.open_experiment(config)


def test_every_fault_of_a_config_is_told_at_once():
    config = tiny_config(
        model__latent_dim=0,
        sampler__kernel="gibbs",
        optimizer__learning_rate=-1.0,
        flow__num_blocks=-1,
        evaluation__protocol="v2",
    )
    with pytest.raises(ValueError) as error:
        experiment.open_experiment(config)
    for name in ("latent_dim", "kernel", "learning_rate", "num_blocks", "protocol"):
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(model__prior=dict(name="energy")), "`joint.select` is 'best'"),
        (
            dict(fitted_prior__name="energy", prior=dict(num_steps=20, batch_size=16)),
            "`prior.select` is 'best'",
        ),
        (
            dict(optimizer__prior_rate_factor=0.5),
            "`unimodal.prior_rate_factor` is 0.5, expected 1",
        ),
        (
            dict(joint__prior_start_step=5),
            "`joint.prior_start_step` is 5, expected 0: only 'joint' with a learnt",
        ),
        (
            dict(fitted_prior=dict(name="", num_steps=5)),
            "`fitted_prior.name` is '', expected one of",
        ),
        (dict(sampler__divisor="q"), "`sampler.divisor` is 'q', expected one of"),
        (
            dict(sampler__defensive_weight=1.0),
            "`sampler.defensive_weight` is 1.0, expected >= 0 and < 1",
        ),
        (
            dict(
                sampler__defensive_weight=1e-3,
                model__prior=dict(name="energy"),
                joint__select="last",
            ),
            "`sampler.defensive_weight` is 0.001, expected 0 with the divisor 'energy'",
        ),
        (dict(sampler__divisor="reference"), "which only an energy prior has"),
        (dict(sampler__divisor="fitted"), "expected a stage 'prior'"),
        (
            dict(
                sampler__divisor="fitted",
                fitted_prior__name="diffusion",
                prior=dict(num_steps=20, batch_size=16),
            ),
            "a score and no log density: expected .sampler.kernel. 'ula'",
        ),
        (
            dict(refinement__num_transitions=-1),
            "`refinement.num_transitions` is -1, e",
        ),
        (
            dict(evaluation__subsets="none", refinement__num_transitions=1),
            "`evaluation.subsets` is 'none', expected 'some': `refinement` starts",
        ),
        (dict(evaluation__subsets="m0"), "`evaluation.subsets` is 'm0', expected one"),
        (dict(refinement__kernel="gibbs"), "`refinement.kernel` is 'gibbs', expected"),
        (dict(refinement__refine="sir"), "`refinement.refine` is 'sir', expected one"),
        (
            dict(refinement__refine="irmh", refinement__num_proposals=0),
            "`refinement.num_proposals` is 0, expected >= 1",
        ),
        (
            dict(refinement__target="experts"),
            "`refinement.target` is 'experts', expected 'model' with `refine` 'chains'",
        ),
        (
            dict(refinement__kernel="ula"),
            "`refinement.num_adaptation` is 100, expected 0 with `kernel` 'ula'",
        ),
        (dict(fitted_prior__name="vamp"), "`fitted_prior.name` is 'vamp', expected"),
        (
            dict(model__prior=dict(name="laplace", scal=1.0)),
            "`model.prior.scal` is unknown.* Did you mean 'scale'",
        ),
        (
            dict(model__prior=dict(name="mixture", num_components=0)),
            "`model.prior.num_components` is 0, expected >= 1",
        ),
    ],
)
def test_faults_of_priors(changes, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        train_and_evaluate(tiny_config(**changes), tmp_path)


def test_latent_of_size_zero():
    with pytest.raises(ValueError, match="`model.latent_dim` is 0, expected >= 1"):
        experiment.open_experiment(tiny_config(model__latent_dim=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__likelihoods__default__name": "bernoulli"}, "takes logits.*identity"),
        ({"joint__batch_size": 5_000}, "`joint.batch_size` is 5000, expected at most"),
        ({"evaluation__num_tuples": 9_999}, "`evaluation.num_tuples` is 9999"),
        (
            dict(
                evaluation__num_tuples=30,
                evaluation__measures="posterior_match",
                evaluation__posterior_match=dict(num_chain_data=31),
            ),
            r"match.num_pairs` is 2000, and 30 test tuples are evaluated, expected >= "
            r"40(.|\n)*match.num_chain_data` is 31, expected at most the 30 test tup",
        ),
        (
            dict(
                denoiser=dict(features=(4,)),
                diffusion_decoder=dict(num_steps=5, batch_size=16),
                evaluation__measures="diffusion_decoder",
                evaluation__diffusion_decoder=dict(num_prior_samples=256),
            ),
            r"decoder.num_prior_samples` is 256, expected more than the 256 features"
            r"(.|\n)*`evaluation.num_prior_samples` is 100, expected more than the 256",
        ),
        ({"data__num_modalities": 1}, "`data.num_modalities` is 1, expected 2 to 100"),
        ({"stages": ""}, "`stages` is empty"),
        (
            dict(
                method="jnf_shared",
                stages="shared,joint,unimodal",
                projectors=dict(objective="dcca", size=45),
                shared=dict(num_steps=5, batch_size=100),
            ),
            r"the 180 validation tuples make batches of 90, expected more than .* = 90",
        ),
    ],
)
def test_what_would_fail_late_is_told_before_training(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(tiny_config(**changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_field_suggests_the_near_one():
    config = tiny_config()
    config.unlock()
    config.flow.num_block = 3
    with pytest.raises(ValueError, match="num_block.*Did you mean 'num_blocks'"):
        experiment.open_experiment(config)
