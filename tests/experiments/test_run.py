"""Runs end to end on a tiny experiment: what they write, resume, refuse."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from tiny import tiny_config

from jnf_jax.evaluation.statistics import coherence
from jnf_jax.experiments import experiment, records, run
from jnf_jax.experiments.combine import summarise
from jnf_jax.experiments.run import (
    record_of,
    train_and_evaluate,
    train_seeds,
    train_stages,
)
from jnf_jax.experiments.schema import validate
from jnf_jax.runtime import parallel

pytestmark = pytest.mark.usefixtures("user_cache")


def test_train_writes_what_it_says(trained):
    workdir, record = trained
    assert not validate(record)
    assert records.read(workdir / "results.json") == json.loads(json.dumps(record))
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


def test_running_again_trains_nothing_and_finds_the_same(trained, monkeypatch, capsys):
    """Stopped after the last subset it goes on there, and keeps nothing at the end."""
    workdir, record = trained

    def interrupted(labels):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(coherence, "agreement", interrupted)
        train_and_evaluate(tiny_config(), workdir, config_name="c", command="x")
    kept = {path.stem for path in workdir.glob("evaluation/*/*.npz")}
    assert kept == {"m0+m1", "m0+m2", "m1+m2"}
    again = train_and_evaluate(tiny_config(), workdir, config_name="c", command="x")
    assert capsys.readouterr().out.count(": read from ") == 3
    assert not (workdir / "evaluation").exists()
    assert again["coherence"] == record["coherence"]
    assert again["sampler"] == record["sampler"]
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
    names = dict(config_name="digits/jnf", command="python -m …")
    record = train_seeds(tiny_config(num_seeds=2), tmp_path, **names)
    assert not validate(record) and record["seeds"] == [0, 1]
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
    other = records.read(tmp_path / "seed_1" / "results.json")["coherence"]["ceiling"]
    assert record["coherence"]["ceiling"] == summarise([single, other])


def test_a_finished_seed_counts_while_its_data_are_the_same(trained, monkeypatch):
    """Labels and test pictures may change under one and the same config."""
    workdir, _ = trained
    stored = records.read(workdir / "results.json")  # a test before evaluated again
    assert record_of(workdir, tiny_config()) == stored
    assert record_of(workdir, tiny_config(evaluation__num_tuples=49)) is None
    open_experiment = experiment.open_experiment

    def changed(**parts):
        def open_changed(config):
            setup = open_experiment(config)
            test = dataclasses.replace(setup.dataset.splits["test"], **parts)
            splits = setup.dataset.splits | {"test": test}
            dataset = dataclasses.replace(setup.dataset, splits=splits)
            return setup._replace(dataset=dataset)

        monkeypatch.setattr(run, "open_experiment", open_changed)

    labels = open_experiment(tiny_config()).dataset.splits["test"].labels
    changed(labels=labels.copy())
    assert record_of(workdir, tiny_config())
    changed(labels=(labels + 1) % 10)
    assert record_of(workdir, tiny_config()) is None


def test_the_key_of_a_record_knows_parameters_that_are_read(trained, tmp_path):
    def key(path):
        config = tiny_config(init__joint=str(path))
        return experiment.record_key(experiment.open_experiment(config))

    joint = trained[0] / "checkpoints" / "joint"
    shutil.copytree(joint, tmp_path / "moved")
    assert key(joint) == key(tmp_path / "moved") != key(joint / "00000010")
    assert key(joint) != key(tmp_path / "nowhere")


def test_streamed_data_train_and_evaluate_alike(trained, user_cache, tmp_path):
    """Both stages, posterior cache and evaluation, with every tuple read from files."""
    workdir, on_device = trained
    config = tiny_config(data__placement="stream")
    record = train_and_evaluate(config, tmp_path, command="python -m jnf_jax.train …")
    assert list(user_cache.glob("jnf_jax/records/digits-*/manifest.json"))
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
    assert not validate(alone)
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


def test_stage_prior_without_a_joint_checkpoint(tmp_path):
    config = tiny_config(
        stages="prior",
        fitted_prior__name="flow",
        prior=dict(num_steps=20, batch_size=16),
    )
    with pytest.raises(ValueError, match="stage 'prior' needs the parameters of"):
        train_and_evaluate(config, tmp_path)


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
    files = [p for p in (newest / "params").rglob("*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
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


def test_a_stage_that_was_not_finished_is_not_read(tmp_path):
    def stop(record):
        if record["event"] == "checkpoint" and record["step"] == 10:
            raise KeyboardInterrupt

    setup = experiment.open_experiment(tiny_config(stages="joint"))
    with pytest.raises(KeyboardInterrupt):
        train_stages(setup, tmp_path, parallel.make_mesh(1), stop)
    with pytest.raises(ValueError, match="stopped at step 10 of 20"):
        experiment.load_stages(setup, tmp_path)
