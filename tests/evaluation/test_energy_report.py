"""What is said of an energy; tests/test_programs.py evaluates one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from jnf_jax import experiment
from jnf_jax.evaluation import energy_report
from jnf_jax.experiment import stage_identity


def open_setup(**options):
    """An energy fitted afterwards, with these options."""
    energy = dict(name="energy", hidden_sizes=(8, 8), num_steps=5) | options
    config = tiny_config(
        method="jmvae",
        flow__num_blocks=0,
        stages="joint,prior",
        fitted_prior=energy,
        prior=dict(num_steps=20, batch_size=16, select="last"),
    ).unlock()
    del config.unimodal
    return experiment.open_experiment(config)


def test_gap_is_warned_of_beyond_its_limit_only():
    def warned(mean, log_variance):
        gap = energy_report.MomentGap(np.float32(mean), np.float32(log_variance))
        return energy_report._moment_warning(gap, 60)

    assert warned(0.2, 0.2) is None
    assert "means by 0.31 sd" in warned(0.31, 0.0)
    assert "log variances by 0.40" in warned(0.0, 0.4)
    assert warned(0.0, np.nan)


def fresh(**options):
    """f = 0: a normal around 3 with covariance diag(1/4), and how to draw from it."""
    method = open_setup(**options).method
    prior = method.stages[-1].init(jax.random.key(0))
    there = {"mean": jnp.full(4, 3.0), "scales": jnp.full(4, 0.5)}
    prior["whitening"] = prior["whitening"] | there
    return method.inference, {"joint": {}, "prior": prior}


def test_draws_and_chains_are_told_of_z_not_of_its_whitened_coordinates():
    inference, params = fresh(step_size=0.05)
    name, key = "energy_after", jax.random.key(1)
    posterior = inference.sample_prior(params, key, 100, name)
    draws, _, log_tilt = energy_report._look(inference, params, name, key, posterior)
    np.testing.assert_allclose(draws.posterior, posterior, atol=1e-5)
    chains = energy_report._long_run(inference, params, name, key, draws).draws
    path = energy_report._path(inference, params, name, key, 2_000)
    for z in (draws.short_run, draws.reference, chains.reshape(-1, 4), *path):
        # 2,000 draws, or as good as: 5 standard errors, and the chain's bias of 3 %.
        assert (jnp.abs(z.mean(0) - 3.0) < 5 * 0.5 / 2_000**0.5).all()
        np.testing.assert_allclose(z.std(0), 0.5, rtol=5 / 4_000**0.5 + 0.03)
    jax.tree.map(lambda f: np.testing.assert_array_equal(f, 0), log_tilt)


def test_draws_of_chains_that_diverge_are_refused():
    def check(step_size):
        inference, params = fresh(draw_step_size=step_size)
        key = jax.random.key(1)
        drawn = energy_report.checked_draws(inference, params, "energy_after", key, 8)
        own = inference.sample_prior(params, key, 8, "energy_after")
        np.testing.assert_allclose(drawn, own, rtol=1e-5)

    check(0.05)
    with pytest.raises(ValueError, match=r"8 of 8 chains .* first at step \d of 5"):
        check(1e9)


def test_how_draws_are_made_is_not_of_a_checkpoints_identity():
    def identity(**options):
        setup = open_setup(**options)
        return stage_identity(setup, setup.method.stages[1], {"joint": "joint/0"})

    trained = identity()
    assert trained == identity(draw_steps=300, draw_step_size=0.01)
    assert trained != identity(num_steps=6) and trained != identity(start="persistent")
    family = open_setup().experiment.fitted_prior
    left_out = {"draw_steps", "draw_step_size"}
    names = {field.name for field in dataclasses.fields(family)}
    assert set(trained["fitted_prior"]) == names - left_out
