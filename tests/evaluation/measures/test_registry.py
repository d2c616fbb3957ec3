"""Measures beside protocol v1: asked for by name, run, recorded, merged, shown."""

import dataclasses
import json
import sys
from types import ModuleType

import jax
import numpy as np
import pytest
from tiny import tiny_config

from jnf_jax.evaluation import measures
from jnf_jax.evaluation.measures import likelihood
from jnf_jax.evaluation.measures.tables import Column, Table
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.experiments import records
from jnf_jax.experiments.combine import combine
from jnf_jax.experiments.config import resolve
from jnf_jax.experiments.console import console_table
from jnf_jax.experiments.evaluate import evaluate_and_write
from jnf_jax.experiments.experiment import open_experiment
from jnf_jax.experiments.schema import validate
from jnf_jax.options import option
from jnf_jax.runtime import parallel
from tools.results_page.render import pages


@dataclasses.dataclass(frozen=True)
class Settings:
    power: int = option(1, "Exponent.", at_least=1)


def count(subject, settings):
    """Number of test tuples to a power, for each modality."""
    subject.report("counting")
    size = float(subject.held_out.size**settings.power)
    return {
        "given": {"1": {"sizes": dict.fromkeys(subject.inference.modalities, size)}}
    }


@dataclasses.dataclass(frozen=True)
class Nothing:
    pass


def module(**names):
    made = ModuleType("made")
    vars(made).update(names)
    return made


COUNT = module(
    Settings=Settings,
    measure=count,
    TABLES=(
        Table("Counted:", (Column("tuples", "sizes", 1, low=0.0),), "given", "given"),
    ),
)
RECOGNISE = module(
    Settings=Nothing,
    measure=lambda subject, settings: {"accuracy": subject.classifiers.accuracy["m0"]},
    NEEDS_LABELS=True,
    TABLES=(Table("Read:", (Column("read right", "accuracy", high=1.0),)),),
)


@pytest.fixture(autouse=True)
def two_measures(monkeypatch):
    for name, made in {"count": COUNT, "recognise": RECOGNISE}.items():
        monkeypatch.setitem(sys.modules, f"tests.{name}", made)
        monkeypatch.setitem(measures.MEASURES, name, f"tests.{name}")


def asking(names, **changes):
    return tiny_config(evaluation__measures=names, **changes)


def evaluated(workdir, num_classes, against=(), **changes):
    """The record of a model that is fresh, on data with and without labels."""
    setup = open_experiment(asking("count,recognise", **changes))
    dataset = dataclasses.replace(setup.dataset, num_classes=num_classes)
    stages = setup.method.stages
    record = evaluate_and_write(
        setup._replace(dataset=dataset),
        {stage.name: stage.init(jax.random.key(0)) for stage in stages},
        {"joint": "id"},
        workdir,
        mesh=parallel.make_mesh(),
        provenance={"config": "digits/jnf", "command": "python -m …"}
        | {"commit": "0123abc", "hardware": "some"},
        training_seconds=0.0,
        against=against,
    )
    return record


@pytest.mark.slow
def test_each_has_its_own_key_and_shows(tmp_path):
    record = evaluated(tmp_path, 10)
    size = record["count"]["given"]["1"]["sizes"]["m0"]
    assert record["count"]["settings"] == {"power": 1} and size > 50
    assert record["recognise"]["accuracy"] == record["classifiers"]["m0"]
    assert 0 < record["protocol_seconds"] < record["evaluation_seconds"]
    text = console_table(record)
    assert "count given 1\n  tuples" in text and f"m0 {size:.1f}   m1" in text
    assert max(map(len, text.splitlines())) <= 80
    other = record | {"seeds": [1]}
    other["count"] = {
        "settings": {"power": 1},
        "given": {"1": {"sizes": dict.fromkeys(["m0", "m1", "m2"], size + 2)}},
    }
    both = combine([record, other])
    found = both["count"]["given"]["1"]["sizes"]["m0"]
    assert found == {"mean": size + 1, "sd": pytest.approx(2**0.5), "n": 2}
    assert both["count"]["settings"] == {"power": 1}
    for folder in ("results", "configs/digits", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "configs/digits/jnf.py").write_text("def get_config(): ...")
    (tmp_path / "docs/published.json").write_text('{"rows": []}')
    records.write(tmp_path / "results/run.json", both)
    lines = pages(tmp_path)["docs/results/results.md"].splitlines()
    start = lines.index("Counted:")
    assert lines[start + 2] == "| config | given | tuples |"
    assert f"m0 {size + 1:.1f} ± 1.4 · m1" in lines[start + 4]
    start = lines.index("Read:")
    assert lines[start + 2] == "| config | read right |"


@pytest.mark.slow
def test_a_run_is_compared_with_others_tuple_by_tuple(tmp_path):
    """The same parameters and tuples: nothing is apart. Other tuples are refused."""
    first = evaluated(tmp_path / "first", 10)
    assert set(first["coherence"]["gain"]) == {"2"}
    assert "against" not in first["coherence"]
    found = evaluated(tmp_path / "new", 10, against=[tmp_path / "first"])
    nothing = {"difference": 0.0, "standard_error": 0.0}
    expected = {"first": dict.fromkeys(["1", "2"], nothing)}
    assert found["coherence"]["against"] == expected
    with pytest.raises(ValueError, match="`--against=.*tuples that are not this run's"):
        fewer = {"evaluation__num_tuples": 40}
        evaluated(tmp_path / "few", 10, against=[tmp_path / "first"], **fewer)


def test_without_labels_the_rest_is_measured(tmp_path, capsys):
    record = evaluated(tmp_path, None, refinement__num_transitions=1)
    said = capsys.readouterr().out
    assert "not measured: coherence needs labels, and 'digits' has none" in said
    assert "not measured: refinement needs labels, and 'digits' has none" in said
    assert "not measured: recognise needs labels, and 'digits' has none" in said
    assert "recognise" not in record and record["coherence"]["ceiling"] is None
    assert "protocol_seconds" not in record  # nothing was judged
    assert "ceiling" not in console_table(record)
    assert record["count"]["given"]["1"]["sizes"]["m0"] > 0
    assert np.isfinite(record["unimodal_log_prob"]["m0"])
    assert records.read(tmp_path / "results.json")["classifiers"] == {}


def test_a_measure_that_fails_loses_nothing_else(tmp_path, monkeypatch):
    """What came before is there, beside the record of the evaluation before."""

    def fail(subject, settings):
        raise RuntimeError("of this measure alone")

    before = evaluated(tmp_path, None)
    assert not (tmp_path / "unfinished.json").exists()
    failing = module(Settings=Nothing, measure=fail, TABLES=())
    monkeypatch.setitem(sys.modules, "tests.recognise", failing)
    with pytest.raises(RuntimeError, match="of this measure alone"):
        evaluated(tmp_path, None)
    record = records.read(tmp_path / "unfinished.json")
    assert record["unfinished"] == ["recognise"] and record["count"]["given"]
    assert np.isfinite(record["unimodal_log_prob"]["m0"])
    assert records.read(tmp_path / "results.json") == json.loads(json.dumps(before))


@pytest.mark.parametrize(
    ("names", "changes", "told"),
    [
        ("cuont", {}, r"`evaluation.measures` has 'cuont', .* mean 'count'\?"),
        ("count", {"evaluation__count": {"power": 0}}, "count.power` is 0, expected"),
        ("", {"evaluation__count": {"pwr": 2}}, "`evaluation.count.pwr` is unknown"),
        (
            "likelihood",
            {"evaluation__likelihood": {"num_importance_samples": 0}},
            "`evaluation.likelihood.num_importance_samples` is 0, expected >= 1",
        ),
    ],
)
def test_what_is_asked_wrongly_is_told(names, changes, told):
    with pytest.raises(ValueError, match=told):
        resolve(asking(names, **changes))


def test_none_are_asked_for_by_default():
    assert resolve(tiny_config()).measures == {}
    asked = resolve(
        asking(" recognise, count", evaluation__count={"power": 2})
    ).measures
    assert list(asked) == ["recognise", "count"] and asked["count"] == Settings(2)


@pytest.mark.parametrize(
    ("measured", "fault"),
    [
        (3, "`count` is 3, expected an object"),
        ({"given": 3}, "`count.given` is no object"),
        ({"given": {"1": {"sizes": {"m0": -1.0}}}}, "`count.given.1.sizes.m0` is -1.0"),
    ],
)
def test_what_is_shown_is_checked(measured, fault):
    faults = validate({"count": measured})
    assert any(line.startswith(fault) for line in faults), faults


def test_whatever_can_be_measured_is_shown():
    tables = [
        table for name in measures.MEASURES for table in measures.load(name).TABLES
    ]
    assert tables
    headings = [column.heading for table in tables for column in table.columns]
    assert all(map(str.isascii, headings))  # a terminal shows them too


def test_likelihood_and_representation_of_an_energy(monkeypatch):
    """Fresh parameters: f ≡ 0, hence log Z = 0, whatever the chains do."""
    monkeypatch.setattr(likelihood, "NUM_TEMPERATURES", 3)
    config = tiny_config(
        evaluation__measures="likelihood,representation",
        evaluation__likelihood=dict(num_importance_samples=3, num_conditional_samples=2)
        | {"num_conditional_tuples": 25},
        evaluation__representation=dict(num_tuples=25, num_probe_tuples=30),
        model__prior=dict(name="energy", hidden_sizes=(8,), num_steps=2),
        joint__select="last",
    )
    setup = open_experiment(config)
    test, lines = setup.dataset.splits["test"], []
    subject = Subject(
        setup.method.inference,
        {s.name: s.init(jax.random.key(0)) for s in setup.method.stages},
        setup.dataset,
        HeldOut(test.arrays, setup.dataset.fetch, test.size, test.labels, 10),
        None,
        setup.experiment.evaluation,
        report=lines.append,
    )
    monkeypatch.setattr(likelihood, "LEAST_ANNEALED_ESS", likelihood.NUM_ANNEALED + 1)
    with pytest.warns(UserWarning, match="rests on 1000 of 1000 annealed chains"):
        found = measures.run(setup.experiment.measures, subject)
    log_z = found["likelihood"]["joint"]["log_normaliser"]
    assert log_z["value"] == pytest.approx(0, abs=1e-4)
    assert log_z["ess"] == pytest.approx(likelihood.NUM_ANNEALED, rel=1e-3)
    assert any(line.startswith("log Z of ") for line in lines)
    of_both = {f"{of}{e}" for of in ("", "standard_error_", "ess_") for e in "ab"}
    assert set(found["likelihood"]["conditional"]["1"]) == of_both | {"ess_given"}
    assert set(found["representation"]["probe"]) == {"m0", "m1", "m2", "joint"}
    faults = validate(found)
    assert not [f for f in faults if f.startswith(("`likelihood", "`representation"))]
