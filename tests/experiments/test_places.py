"""Places are tried before work, where they are needed; what was computed stays."""

import dataclasses
import json
from pathlib import Path

import pytest
from tiny import tiny_config

from jnf_jax import checkpoint
from jnf_jax.data import tfds_cache
from jnf_jax.evaluation import classifiers
from jnf_jax.evaluation.kept import Kept
from jnf_jax.evaluation.protocol import SubsetDraws
from jnf_jax.experiments import records
from jnf_jax.experiments.evaluate import _write_record
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.run import train_and_evaluate


@pytest.fixture
def without_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("posixpath.expanduser", lambda path: path)


@pytest.fixture
def record():
    """Valid, and as short as may be."""
    text = dict.fromkeys(("dataset", "method", "protocol", "config", "command"), "a")
    judged = {"conditional": {}, "joint": {}, "joint_entropy": None, "ceiling": None}
    return text | {
        "commit": "unknown",
        "hardware": "a",
        "seeds": [0],
        "wall_seconds": 1.0,
        "coherence": judged,
        "classifiers": {},
        "sampler": {},
        "stage1_checkpoint": None,
        "evaluation_seconds": 1.0,
        "num_tuples": 1,
    }


def test_a_place_is_refused_before_training(tmp_path, monkeypatch):
    def refused(told, config=tiny_config, error=OSError, **options):
        with pytest.raises(error, match=f"^{told}"):
            train_and_evaluate(config(), tmp_path / "run", **options)
        assert not [*tmp_path.iterdir()]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    refused(f"`out` {tmp_path} cannot be written: it is a folder", out=tmp_path)
    refused("`out` /proc/a cannot be written", out=Path("/proc/a/b.json"))
    refused(
        "`init.joint`: no checkpoint at .*/nowhere: expected a directory",
        lambda: tiny_config(init__joint="nowhere"),
        ValueError,
    )
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    refused("`XDG_CACHE_HOME` /proc/none/jnf_jax/classifiers/.* cannot be written")


def test_no_home_directory_is_needed_before_something_is_kept(without_home):
    setup = open_experiment(tiny_config())
    told = "`XDG_CACHE_HOME` is '~/.cache', expected a path of an existing home"
    with pytest.raises(ValueError, match=told):
        classifiers.try_to_keep(setup.dataset, setup.experiment.classifier)
    without_labels = dataclasses.replace(setup.dataset, num_classes=None)
    classifiers.try_to_keep(without_labels, setup.experiment.classifier)


def test_classifiers_that_are_there_need_no_place(tmp_path, monkeypatch):
    setup = open_experiment(tiny_config())
    about = setup.dataset, setup.experiment.classifier
    place, _ = classifiers._place_of(*about, tmp_path)
    monkeypatch.setattr(classifiers, "try_folder", None)  # nobody may ask
    with pytest.raises(TypeError):
        classifiers.try_to_keep(*about, tmp_path)
    checkpoint.save(place, about[1].num_steps, {"a": 0.0}, {"b": 0.0}, {})
    classifiers.try_to_keep(*about, tmp_path)


def test_a_cache_is_tried_before_its_arrays_are_built():
    def build():
        raise AssertionError("built in vain")

    with pytest.raises(OSError, match="^`data.cache_dir` /proc/none/a-.* cannot be"):
        tfds_cache.cached("a", {}, "/proc/none", build)


def test_a_record_is_written_where_it_can_be(tmp_path, record, capsys):
    good, bad = tmp_path / "a.json", tmp_path / "file" / "b.json"
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"not be written to {bad} \(.*it is in {good}"):
        records.write_all([bad, good], record)
    assert records.read(good) == record and not capsys.readouterr().out
    with pytest.raises(OSError, match="it is printed above"):
        records.write_all([bad], record)
    assert json.loads(capsys.readouterr().out) == record


def test_a_record_with_faults_is_kept_and_shown(tmp_path, record, capsys):
    record["seeds"] = []
    with pytest.raises(ValueError, match="(?s)`seeds` is .*kept as it is in .*refused"):
        _write_record([tmp_path / "results.json"], record)
    assert [path.name for path in tmp_path.iterdir()] == ["refused.json"]
    assert json.loads((tmp_path / "refused.json").read_text()) == record
    assert "wall time" in capsys.readouterr().out


def test_draws_that_cannot_be_kept_are_not_lost(tmp_path):
    lines = []
    (tmp_path / "evaluation").touch()  # where its folder would be
    found = SubsetDraws({}, [0.0], {"rhat_max": 1.0})
    kept = Kept(tmp_path / "evaluation", {}, lines.append)
    assert kept.remember("a+b", lambda: found) is found
    assert "warning: draws given a+b are not kept: " in lines[0]
    kept.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation"]
