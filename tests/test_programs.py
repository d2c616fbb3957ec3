"""The programs end to end on a tiny experiment; what a user gets wrong, and is told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from configs.digits import jnf as digits_jnf
from jnf_jax import experiment, parallel, programs, results
from jnf_jax.evaluation import energy_report
from jnf_jax.methods.method import check_subset
from jnf_jax.runs import train_and_evaluate, train_seeds, train_stages
from jnf_jax.stages import compute_cache

ROOT = Path(__file__).parents[1]


def tiny_config(**changes):
    """Three 8 × 8 modalities, dense networks, a few steps; ``a__b=c`` sets a.b to c."""
    config = digits_jnf.get_config()
    config.unlock()
    config.data.update(image_size=8, repeats=1, validation_repeats=1, test_repeats=1)
    config.model.latent_dim = 4
    config.model.joint_hidden_sizes = (16,)
    config.model.networks.default = dict(
        kind="mlp", hidden_sizes=(16,), activation="sigmoid"
    )
    config.flow.hidden_sizes = (8,)
    config.sampler.update(num_transitions=4, num_adaptation=4)
    config.joint = dict(num_steps=20, batch_size=16)
    config.unimodal = dict(num_steps=20, batch_size=16)
    config.training.checkpoint_every = 10
    config.evaluation.update(
        num_prior_samples=100, num_tuples=50, batch_size=25, num_diagnostic_data=8
    )
    config.evaluation.classifier = dict(num_steps=10, batch_size=16)
    for name, value in changes.items():
        *path, last = name.split("__")
        section = config
        for part in path:
            section = section[part]
        section[last] = value
    return config.lock()


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Classifiers of tests never meet those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(root))
        yield root


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir with both stages trained and evaluated, and its record."""
    workdir = tmp_path_factory.mktemp("run")
    record = train_and_evaluate(
        tiny_config(),
        workdir,
        config_name="configs/digits/jnf.py",
        command="python -m jnf_jax.train …",
    )
    return workdir, record


def test_train_writes_what_it_says(trained):
    workdir, record = trained
    assert not results.validate(record)
    assert results.read(workdir / "results.json") == json.loads(json.dumps(record))
    assert record["dataset"] == "digits" and record["protocol"] == "v1-small-custom"
    assert set(record["coherence"]["conditional"]) == {"1", "2"}
    assert set(record["sampler"]["subsets"]) == {"m0+m1", "m0+m2", "m1+m2"}
    assert set(record["classifiers"]) == {"m0", "m1", "m2"}
    names = {path.stem for path in (workdir / "samples").glob("*.png")}
    assert {"given_m0", "given_m1+m2", "unconditional"} <= names
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["stage"] for line in lines} >= {"joint", "unimodal"}
    stored = json.loads((workdir / "config.json").read_text())
    assert stored["config"]["model"]["latent_dim"] == 4 and stored["versions"]["jax"]


def test_running_again_trains_nothing_and_finds_the_same(trained):
    workdir, record = trained
    again = train_and_evaluate(tiny_config(), workdir, config_name="c", command="x")
    assert again["coherence"] == record["coherence"]
    assert again["stage1_checkpoint"] == record["stage1_checkpoint"]


def test_stages_one_at_a_time_end_the_same(trained, tmp_path):
    """stage two from ``init.joint`` equals stage two after stage one, bit for bit."""
    workdir, _ = trained
    joint_only, flows_only = tmp_path / "joint", tmp_path / "flows"
    done = train_and_evaluate(
        tiny_config(stages="joint"), joint_only, with_evaluation=False
    )
    assert done is None and not (joint_only / "checkpoints" / "unimodal").exists()
    config = tiny_config(
        stages="unimodal", init__joint=str(joint_only / "checkpoints" / "joint")
    )
    train_and_evaluate(config, flows_only, with_evaluation=False)
    setup = experiment.open_experiment(config)
    apart, apart_ids, _ = experiment.load_stages(setup, flows_only)
    whole, whole_ids, _ = experiment.load_stages(
        experiment.open_experiment(tiny_config()), workdir
    )
    assert apart_ids == whole_ids
    jax.tree.map(np.testing.assert_array_equal, apart, whole)


def test_two_seeds_are_one_record(trained, tmp_path):
    """Seed 0 was another job's, seed 1 is run here; a prior on each one's stage one."""
    shutil.copytree(trained[0], tmp_path / "seed_0")
    names = dict(config_name="configs/digits/jnf.py", command="python -m …")
    record = train_seeds(tiny_config(num_seeds=2), tmp_path, **names)
    assert not results.validate(record) and record["seeds"] == [0, 1]
    ids = [f"{tmp_path}/seed_{{seed}}/checkpoints/{s}" for s in ("joint", "unimodal")]
    after = tiny_config(
        num_seeds=2,
        stages="prior",
        init=dict(joint=ids[0], unimodal=ids[1]),
        fitted_prior=dict(name="flow", hidden_sizes=(8,)),
        prior=dict(num_steps=20, batch_size=16),
    )
    fitted = train_seeds(after, tmp_path / "after", **names)
    assert fitted["stage1_checkpoint"] == record["stage1_checkpoint"]
    for key in ("conditional", "ceiling"):
        assert fitted["coherence"][key] == record["coherence"][key]
    single = trained[1]["coherence"]["ceiling"]
    other = results.read(tmp_path / "seed_1" / "results.json")["coherence"]["ceiling"]
    assert record["coherence"]["ceiling"] == results.summarise([single, other])


def test_streamed_data_train_and_evaluate_alike(trained, cache, tmp_path):
    """Both stages, posterior cache and evaluation, with every tuple read from files."""
    workdir, on_device = trained
    config = tiny_config(data__placement="stream")
    record = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert list(cache.glob("jnf_jax/records/digits-*/manifest.json"))
    assert record["data"] == on_device["data"]
    assert record["classifiers"] == on_device["classifiers"]
    # Chains amplify rounding: one of 50 labels may turn.
    for size, share in record["coherence"]["conditional"].items():
        assert abs(share - on_device["coherence"]["conditional"][size]) < 0.05
    setup = experiment.open_experiment(config)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        experiment.load_stages(setup, tmp_path)[0],
        experiment.load_stages(setup, workdir)[0],
    )
    with pytest.raises(ValueError, match="`data.placement` is 'disk', expected one of"):
        experiment.open_experiment(tiny_config(data__placement="disk"))


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
    assert not results.validate(after)
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


def test_joint_draws_alone_need_no_flows(trained, tmp_path):
    """``evaluation.subsets`` "none": a prior on a run that has stage one only."""
    workdir, record = trained
    config = tiny_config(
        stages="prior",
        init__joint=str(workdir / "checkpoints" / "joint"),
        fitted_prior__name="flow",
        prior=dict(num_steps=20, batch_size=16),
        evaluation__subsets="none",
    )
    alone = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert not results.validate(alone)
    assert alone["protocol"] == "v1-small-custom"
    assert (
        alone["coherence"]["joint"]["normal"] == record["coherence"]["joint"]["normal"]
    )
    assert alone["coherence"]["ceiling"] == record["coherence"]["ceiling"]
    assert set(alone["coherence"]["joint"]) == {"normal", "flow_after"}
    assert alone["coherence"]["conditional"] == alone["sampler"] == {}
    assert "unimodal_log_prob" not in alone
    names = {path.stem for path in (tmp_path / "samples").glob("*.png")}
    assert names == {"unconditional", "unconditional_flow_after"}
    # All the same, what subsets need is asked for where subsets are.
    setup = experiment.open_experiment(config)
    with pytest.raises(ValueError, match="unimodal"):
        experiment.load_stages(setup, tmp_path)
    stages = experiment.evaluated_stages(setup)
    params, _, _ = experiment.load_stages(setup, tmp_path, stages=stages)
    assert set(params) == {"joint", "prior"}


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


def test_jnf_shared_reads_the_joint_stage_of_jnf(trained, tmp_path):
    """And trains the others: the flows of JNF read pixels, and are refused."""
    workdir, record = trained
    shared = dict(
        method="jnf_shared",
        stages="shared,joint,unimodal",
        projectors=dict(objective="dcca", size=3, posterior_hidden_sizes=(8,)),
        shared=dict(num_steps=20, batch_size=64),
    )
    joint = str(workdir / "checkpoints" / "joint")
    config = tiny_config(**shared, init__joint=joint)
    done = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert not results.validate(done) and done["method"] == "jnf_shared"
    assert done["stage1_checkpoint"] == record["stage1_checkpoint"]
    assert done["coherence"]["ceiling"] == record["coherence"]["ceiling"]
    assert done["unimodal_log_prob"] != record["unimodal_log_prob"]
    for stage, told in (("unimodal", "method"), ("shared", "no checkpoint at")):
        wrong = {f"init__{stage}": str(workdir / "checkpoints" / stage)}
        with pytest.raises(ValueError, match=f"(?s){told}"):
            train_and_evaluate(
                tiny_config(**shared, init__joint=joint, **wrong), tmp_path / "wrong"
            )


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
            "`projectors` is unknown",
        ),
    ],
)
def test_faults_of_projectors(changes, told):
    settings = dict(method="jnf_shared", shared=dict(num_steps=20, batch_size=64))
    config = tiny_config(**{**settings, **changes})
    with pytest.raises(ValueError, match=told):
        experiment.open_experiment(config)


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
    assert not results.validate(done)
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


def test_faults_of_a_diffusion_decoder():
    config = tiny_config(
        denoiser=dict(features=(), num_block=1),
        diffusion_decoder=dict(num_steps=0, batch_size=16),
    )
    with pytest.raises(ValueError, match="Did you mean 'num_blocks'") as told:
        experiment.open_experiment(config)
    assert "diffusion_decoder.num_steps must be >= 1" in str(told.value)
    config = tiny_config(evaluation__measures="diffusion_decoder")
    with pytest.raises(ValueError, match="expected a section `denoiser` with it"):
        experiment.open_experiment(config)


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
    with pytest.raises(ValueError, match="prior.num_steps must be 1 where a stage is"):
        experiment.open_experiment(config)


def test_stage_prior_without_a_joint_checkpoint(tmp_path):
    config = tiny_config(
        stages="prior",
        fitted_prior__name="flow",
        prior=dict(num_steps=20, batch_size=16),
    )
    with pytest.raises(ValueError, match="stage 'prior' needs the parameters of"):
        train_and_evaluate(config, tmp_path)


def run_sample(workdir, given, out):
    """The program, in a process of its own."""
    command = [sys.executable, "-m", "jnf_jax.sample", "--workdir", str(workdir)]
    options = ["--given", given, "--num", "5", "--out", str(out)]
    return subprocess.run(
        command + options, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_sample_draws_a_picture(trained, tmp_path):
    out = tmp_path / "grid.png"
    done = run_sample(trained[0], "m0,m2", out)
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(out)).std() > 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "m0,m7",
            "error: `--given` is ['m0', 'm7'], expected distinct names out of "
            "['m0', 'm1', 'm2']",
        ),
        (
            "",
            "error: `--given` is empty, expected one or more of ['m0', 'm1', 'm2']",
        ),
    ],
)
def test_sample_tells_of_a_wrong_subset(trained, tmp_path, given, told):
    done = run_sample(trained[0], given, tmp_path / "grid.png")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, told)
    assert not (tmp_path / "grid.png").exists()


def test_workdir_without_a_run(tmp_path):
    with pytest.raises(ValueError, match="has no config.json"):
        programs.config_of(tmp_path)


def test_workdir_of_another_config(trained):
    before = (trained[0] / "config.json").read_text()
    with pytest.raises(ValueError, match="holds another config.*(?s:.)*model.beta"):
        train_and_evaluate(tiny_config(model__beta=2.0), trained[0])
    assert (trained[0] / "config.json").read_text() == before


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (dict(data__seed=7), "data.checksums"),
        (
            dict(
                data=dict(
                    name="circles_squares", num_train=40, num_validation=20, num_test=20
                )
            ),
            "data.name",
        ),
    ],
)
def test_checkpoint_of_another_dataset(trained, data, told):
    config = tiny_config(
        **data,
        evaluation__num_tuples=0,
        stages="unimodal",
        init__joint=str(trained[0] / "checkpoints" / "joint"),
    )
    with pytest.raises(ValueError, match=f"(?s)another config.*{told}"):
        train_and_evaluate(config, trained[0].parent / "other")


def test_missing_checkpoint(tmp_path):
    config = tiny_config(stages="unimodal", init__joint=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="no checkpoint at .*nowhere"):
        train_and_evaluate(config, tmp_path / "run")


def test_stage_two_without_stage_one(tmp_path):
    with pytest.raises(ValueError, match="'unimodal' needs the parameters of.*joint"):
        train_and_evaluate(tiny_config(stages="unimodal"), tmp_path)


def test_damaged_checkpoint_is_an_error_where_named_and_passed_over_on_resume(
    trained, tmp_path
):
    workdir = tmp_path / "run"
    shutil.copytree(trained[0], workdir)
    newest = workdir / "checkpoints" / "joint" / "00000020"
    largest = max(newest.rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    config = tiny_config(stages="unimodal", init__joint=str(newest.parent))
    with pytest.raises(ValueError, match="00000020"):
        train_and_evaluate(config, tmp_path / "flows")
    with pytest.warns(UserWarning, match="00000020.*resuming from.*00000010"):
        train_and_evaluate(tiny_config(stages="joint"), workdir, with_evaluation=False)
    whole, ids, _ = experiment.load_stages(
        experiment.open_experiment(tiny_config()), trained[0]
    )
    setup = experiment.open_experiment(tiny_config())
    resumed, resumed_ids, _ = experiment.load_stages(setup, workdir)
    assert resumed_ids == ids
    jax.tree.map(np.testing.assert_array_equal, resumed["joint"], whole["joint"])


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
            "`fitted_prior.name` is missing",
        ),
        (dict(sampler__divisor="q"), "`sampler.divisor` is 'q', expected one of"),
        (dict(sampler__divisor="reference"), "which only an energy prior has"),
        (dict(sampler__divisor="fitted"), "expected a stage 'prior'"),
        (
            dict(
                sampler__divisor="fitted",
                fitted_prior__name="diffusion",
                prior=dict(num_steps=20, batch_size=16),
            ),
            "with a log density: 'diffusion' has none",
        ),
        (dict(refinement__num_transitions=-1), "refinement.*num_transitions: got -1"),
        (
            dict(evaluation__subsets="none", refinement__num_transitions=1),
            "`evaluation.subsets` is 'none', expected 'all': `refinement` starts",
        ),
        (dict(evaluation__subsets="m0"), "`evaluation.subsets` is 'm0', expected one"),
        (dict(refinement__kernel="gibbs"), "refinement.*kernel: got 'gibbs'"),
        (
            dict(refinement__kernel="ula"),
            "`refinement`: num_adaptation: got 100, expected 0 with kernel 'ula'",
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
        ({"data__num_modalities": 1}, "num_modalities: got 1, expected 2 to 100"),
        ({"stages": ""}, "`stages` is empty"),
    ],
)
def test_what_would_fail_late_is_told_before_training(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(tiny_config(**changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stage_that_was_not_finished_is_not_read(tmp_path):
    def stop(record):
        if record["event"] == "checkpoint" and record["step"] == 10:
            raise KeyboardInterrupt

    setup = experiment.open_experiment(tiny_config(stages="joint"))
    with pytest.raises(KeyboardInterrupt):
        train_stages(setup, tmp_path, parallel.make_mesh(1), stop)
    with pytest.raises(ValueError, match="stopped at step 10 of 20"):
        experiment.load_stages(setup, tmp_path)


def test_unknown_field_suggests_the_near_one():
    config = tiny_config()
    config.unlock()
    config.flow.num_block = 3
    with pytest.raises(ValueError, match="num_block.*Did you mean 'num_blocks'"):
        experiment.open_experiment(config)


def test_unknown_override_on_the_command_line_suggests_the_near_one():
    command = [sys.executable, "-m", "jnf_jax.train", "--config=configs/digits/jnf.py"]
    done = subprocess.run(
        [*command, "--workdir=unused", "--config.optimizer.learning_rat=1"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and "learning_rate" in done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "sample",
        pytest.param("train", marks=pytest.mark.slow),
        pytest.param("evaluate", marks=pytest.mark.slow),
    ],
)
def test_help_says_what_the_program_does(program):
    command = [sys.executable, "-m", f"jnf_jax.{program}", "--helpshort"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"python -m jnf_jax.{program} --" in done.stdout
    assert "--workdir" in done.stdout


def test_recorded_commands_do_not_tell_where_data_lay(monkeypatch):
    options = ["--config", "configs/polymnist/jnf.py", "--workdir", "runs/a"]
    folders = ["--config.data.backgrounds_dir=/home/me/my pictures"]
    folders += ["--config.data.data_dir", "/data", "--config.model.beta=2"]
    folders += ["--config.data.captions_file=/home/me/captions.tsv"]
    folders += ["--config.evaluation.frechet.inception_file=/home/me/inception.pth"]
    monkeypatch.setattr(sys, "argv", ["train", *options, *folders])
    _, command = programs.command_line().split(" --config ", 1)
    assert command == (
        "configs/polymnist/jnf.py --workdir runs/a --config.data.backgrounds_dir=DIR "
        "--config.data.data_dir DIR --config.model.beta=2 "
        "--config.data.captions_file=DIR --config.evaluation.frechet.inception_file=DIR"
    )


def test_faults_of_the_user_have_no_traceback(capsys):
    def main(argv):
        check_subset((), ("a", "b"), name="--given")

    with pytest.raises(SystemExit, match="2"):
        programs.tell_faults(main)(["program"])
    told = "error: `--given` is empty, expected one or more of ['a', 'b']\n"
    assert capsys.readouterr().err == told


def test_faults_that_are_not_the_users_keep_their_traceback():
    def main(argv):
        np.zeros(2).reshape(3)

    with pytest.raises(ValueError, match="cannot reshape"):
        programs.tell_faults(main)(["program"])
