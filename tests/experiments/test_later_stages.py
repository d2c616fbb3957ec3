"""Priors, projectors and decoders, most of them on the checkpoints of another run."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import tiny_config

from jnf_jax.evaluation import energy_report
from jnf_jax.experiments import experiment, logs
from jnf_jax.experiments.run import train_and_evaluate
from jnf_jax.experiments.schema import validate
from jnf_jax.experiments.stages import bind_stage, compute_cache

pytestmark = pytest.mark.usefixtures("user_cache")


def test_a_prior_fitted_afterwards_shares_the_other_stages(trained, tmp_path):
    workdir, record = trained
    checkpoints = {s: str(workdir / "checkpoints" / s) for s in ("joint", "unimodal")}
    config = tiny_config(
        stages="prior",
        init=checkpoints,
        fitted_prior=dict(name="energy", hidden_sizes=(8,), num_steps=5),
        prior=dict(num_steps=20, batch_size=16, learning_rate=0.1, select="last"),
    )
    after = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert not validate(after)
    assert after["stage1_checkpoint"] == record["stage1_checkpoint"]
    name = "energy_after"
    own, fitted = (after["coherence"]["joint"].pop(n) for n in ("normal", name))
    assert {"normal": own} == record["coherence"]["joint"] and 0 <= fitted <= 1
    for field in ("conditional", "ceiling"):
        assert after["coherence"][field] == record["coherence"][field]
    check_record_of_an_energy(after, name)
    for picture in (f"unconditional_{name}", f"energy_of_{name}"):
        path = tmp_path / "samples" / f"{picture}.png"
        assert np.asarray(Image.open(path)).std() > 0


def check_record_of_an_energy(record, name):
    """The schema's keys; a warning where, and only where, the moments say so."""
    for field in ("joint_by_steps", "joint_entropy_by_steps"):
        found = record["coherence"][field]
        assert list(found) == [name]  # not the model's own, which is N(0, I)
        assert list(found[name]) == ["0", "10", "30", "60", "150", "300"]
    assert all(
        0 <= s <= 1 for s in record["coherence"]["joint_by_steps"][name].values()
    )
    about = record["energy_priors"][name]
    moments = about["moments"]
    assert set(moments) == {"posterior", "short_run", "reference", "long_run"}
    # 2,000 × 4 numbers of N(0, 1); 5 standard errors.
    assert abs(moments["reference"]["variance"] - 1) < 5 * (2 / 8_000) ** 0.5
    assert about["num_steps"] == 5 and about["displacement"] > 0.5
    gaps = about["gap_to_long_run"]["short_run"].values()
    said = [text for text in about["warnings"] if "differ in their moments" in text]
    assert len(said) == any(gap > energy_report.MOMENT_LIMIT for gap in gaps)
    assert 0.3 < about["long_run"]["acceptance"] < 0.9


@pytest.mark.slow
def test_an_energy_is_learnt_with_the_joint_vae_from_a_step_on(tmp_path):
    """Chains that persist, flows on its posterior, and the energy in the product."""
    start = 20
    config = tiny_config(
        model__prior=dict(
            name="energy", hidden_sizes=(8,), num_steps=5, start="persistent"
        ),
        joint=dict(num_steps=40, batch_size=16, select="last", prior_start_step=start),
        training__log_every=1,
    )
    done = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert not validate(done)
    check_record_of_an_energy(done, "energy")
    records = [
        r
        for r in logs.read_records(tmp_path / "metrics.jsonl")
        if r["event"] == "train" and r["stage"] == "joint"
    ]
    gaps = {r["step"]: r["energy_gap"] for r in records}
    assert {r["langevin/first_bad_step"] for r in records} == {0}
    # A longer step of the chains draws from the same checkpoint, and is found out.
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["config"]["model"]["prior"]["draw_step_size"] = 1e9
    (tmp_path / "config.json").write_text(json.dumps(stored))
    out = tmp_path / "grid.png"
    command = [sys.executable, "-m", "jnf_jax.sample", "--workdir", str(tmp_path)]
    drawn = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert drawn.returncode == 2 and not out.exists(), drawn.stderr
    assert "64 of 64 chains diverged, the first at step 1 of 5" in drawn.stderr
    # The network's last layer starts at zero: until it learns, f is 0 everywhere.
    assert all((gap != 0) == (step > start + 1) for step, gap in gaps.items()), gaps


def test_an_energy_that_all_chains_diverge_on_ends_its_training(trained, tmp_path):
    workdir, _ = trained
    config = tiny_config(
        stages="prior",
        init={s: str(workdir / "checkpoints" / s) for s in ("joint", "unimodal")},
        fitted_prior=dict(name="energy", hidden_sizes=(64, 64), num_steps=5),
        prior=dict(num_steps=400, batch_size=16, learning_rate=10.0, select="last"),
    )
    told = "'prior': the loss is not finite at step .*all Langevin chains .* diverged"
    with pytest.raises(FloatingPointError, match=told):
        train_and_evaluate(config, tmp_path, with_evaluation=False)


def test_jnf_shared_reads_the_joint_stage_of_jnf(trained, tmp_path):
    """And trains the others: the flows of JNF read pixels, and are refused."""
    workdir, record = trained
    shared = dict(
        method="jnf_shared",
        stages="shared,joint,unimodal",
        projectors=dict(objective="dcca", size=3, posterior_hidden_sizes=(8,)),
        shared=dict(num_steps=20, batch_size=64),
        flow__num_blocks=0,  # multiplied in closed form: chains compile for long
    )
    joint = str(workdir / "checkpoints" / "joint")
    config = tiny_config(**shared, init__joint=joint)
    done = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert not validate(done) and done["method"] == "jnf_shared"
    assert done["stage1_checkpoint"] == record["stage1_checkpoint"]
    assert done["coherence"]["ceiling"] == record["coherence"]["ceiling"]
    assert done["unimodal_log_prob"] != record["unimodal_log_prob"]
    for stage, told in (("unimodal", "method"), ("shared", "no checkpoint at")):
        wrong = {f"init__{stage}": str(workdir / "checkpoints" / stage)}
        with pytest.raises(ValueError, match=f"(?s){told}"):
            train_and_evaluate(
                tiny_config(**shared, init__joint=joint, **wrong), tmp_path / "wrong"
            )


def test_a_prior_fitted_to_jnf_is_that_of_jnf_shared_too():
    def identity(**options):
        config = tiny_config(
            fitted_prior=dict(name="gmm", num_components=2),
            prior=dict(num_steps=1, batch_size=16, select="last"),
            **options,
        ).unlock()
        if config.method == "jmvae":
            del config.unimodal
        setup = experiment.open_experiment(config)
        (stage,) = [s for s in setup.method.stages if s.name == "prior"]
        return experiment.stage_identity(setup, stage, {"joint": "joint/0"})

    shared = dict(
        method="jnf_shared",
        projectors=dict(objective="dcca", size=3, posterior_hidden_sizes=(8,)),
        shared=dict(num_steps=20, batch_size=64),
        stages="shared,joint,unimodal,prior",
    )
    own = identity(stages="joint,unimodal,prior")
    assert own == identity(**shared)
    other = dict(method="jmvae", stages="joint,prior", flow__num_blocks=0)
    assert own != identity(**other)


@pytest.mark.slow
def test_a_diffusion_decoder_is_trained_on_another_runs_checkpoints(trained, tmp_path):
    workdir, record = trained
    checkpoints = {s: str(workdir / "checkpoints" / s) for s in ("joint", "unimodal")}
    own = dict(
        stages="diffusion_decoder",
        denoiser=dict(features=(4,), num_steps=2),
        diffusion_decoder=dict(num_steps=4, batch_size=16, select="last"),
        evaluation__measures="diffusion_decoder",
        evaluation__diffusion_decoder=dict(num_prior_samples=300),
        evaluation__num_tuples=300,
        evaluation__num_prior_samples=300,
    )
    config = tiny_config(init=checkpoints, **own)
    done = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert not validate(done)
    assert done["stage1_checkpoint"] == record["stage1_checkpoint"]
    measured = done["diffusion_decoder"]
    assert set(measured["frechet"]["draws"]) == {"1", "2", "normal"}
    assert measured["settings"] == {"num_prior_samples": 300}
    # Means of the protocol's own z.
    for key in ("conditional", "joint"):
        assert measured[key]["means"] == done["coherence"][key]
    for name in ("given_m0", "given_m1+m2", "unconditional"):
        means, drawn = (
            np.asarray(Image.open(tmp_path / "samples" / f"{name}{suffix}.png"))
            for suffix in ("", "_diffusion_decoder")
        )
        assert means.shape == drawn.shape and (means != drawn).any()
    # Steps of a draw are no part of what was trained, its size is.
    init = checkpoints | {
        "diffusion_decoder": str(tmp_path / "checkpoints" / "diffusion_decoder")
    }
    for changes, told in (
        ({"num_steps": 3}, ""),
        ({"features": (6,)}, "denoiser.features"),
    ):
        other = tiny_config(**own | {"init": init})
        with other.unlocked():
            other.denoiser.update(changes)
        setup = experiment.open_experiment(other)
        if not told:
            experiment.load_stages(setup, tmp_path)
            continue
        with pytest.raises(ValueError, match=told):
            experiment.load_stages(setup, tmp_path)


def test_a_mixture_fitted_in_one_go_is_a_stage_like_the_others(trained, tmp_path):
    workdir, _ = trained
    config = tiny_config(
        stages="prior",
        init={s: str(workdir / "checkpoints" / s) for s in ("joint", "unimodal")},
        fitted_prior=dict(name="gmm", num_components=2),
        prior=dict(num_steps=1, batch_size=16, select="last"),
    )
    train_and_evaluate(config, tmp_path, with_evaluation=False)
    setup = experiment.open_experiment(config)
    params, _, _ = experiment.load_stages(setup, tmp_path)
    draw = setup.method.inference.sample_prior
    z = draw(params, jax.random.key(0), 10_000, "gmm_after")
    # Against the aggregate posterior; 5 standard errors of 10,000 draws, and EM's fit
    # has the moments of its 1,000 draws or more: as many again, and √10 wider.
    prior = next(s for s in setup.method.stages if s.name == "prior")
    cached = compute_cache(prior, setup.dataset, "train", {"joint": params["joint"]})
    variance = cached["mean"].var(0) + np.square(cached["scale"]).mean(0)
    error = np.sqrt(variance * (1 / 10_000 + 1 / len(cached["mean"])))
    assert (np.abs(z.mean(0) - cached["mean"].mean(0)) < 5 * error).all()
    np.testing.assert_allclose(z.var(0), variance, rtol=0.25)

    config.prior.num_steps = 4
    with pytest.raises(
        ValueError, match="`prior.num_steps` is 4, expected 1 where a stage"
    ):
        experiment.open_experiment(config)


@pytest.mark.parametrize("name", ["gmm", "energy"])
def test_a_prior_starts_from_the_moments_of_its_training_draws(name):
    config = tiny_config(
        method="jmvae",
        flow__num_blocks=0,
        stages="joint,prior",
        fitted_prior=dict(name=name),
        prior=dict(num_steps=1, batch_size=16, select="last"),
    ).unlock()
    del config.unimodal
    setup = experiment.open_experiment(config)
    joint, prior = setup.method.stages
    params = {"joint": joint.init(jax.random.key(0))}
    stage = bind_stage(prior, setup.dataset, params)
    whitening = stage.init(jax.random.key(1))["whitening"]
    mean, scale = (stage.train_arrays["cached"][k] for k in ("mean", "scale"))
    sd = np.sqrt(mean.var(0) + (scale**2).mean(0))
    assert (np.abs(whitening["mean"] - mean.mean(0)) < 5 * sd / len(mean) ** 0.5).all()
    # Σ s² is the trace of the covariance; 5 √(2 / N) of it for Gaussian draws.
    trace = float((np.asarray(whitening["scales"]) ** 2).sum())
    assert trace == pytest.approx((sd**2).sum(), rel=5 * (2 / len(mean)) ** 0.5)
    if stage.fit:
        fitted = stage.fit(jax.random.key(1))["whitening"]
        jax.tree.map(np.testing.assert_array_equal, fitted, whitening)
