"""Records of several seeds become one: measured numbers get a spread, others agree."""

import copy
import statistics

import pytest

from jnf_jax.experiments.combine import combine, summarise
from jnf_jax.experiments.records import worst_of_sampler
from jnf_jax.experiments.schema import validate

SHARES = (0.25, 0.5, 0.875)


def one_seed(seed, share):
    """A valid record in which one number depends on the seed."""
    return {
        "dataset": "digits",
        "method": "jnf",
        "protocol": "v1-small",
        "config": "digits/jnf",
        "command": "python -m jnf_jax.train …",
        "commit": "0123abc",
        "hardware": "2 CPU cores",
        "seeds": [seed],
        "num_tuples": 50,
        "wall_seconds": 100.0,
        "data": {"settings": {"noise": 0.5}},
        "coherence": {
            "conditional": {"1": share},
            "joint": {"normal": 0.5},
            "joint_entropy": {"normal": None if seed == 2 else 2.0},
            "ceiling": 0.9,
            "interval": {"subsets": {"m0": {"m1": {"low": share, "high": 1.0}}}},
        },
        "classifiers": {"m0": 0.95},
        "sampler": {
            "settings": {"kernel": "nuts", "target_acceptance": 0.8},
            "warnings": [f"given m0+m1: warning of seed {seed}"],
            "subsets": {"m0+m1": {"rhat_max": 1.0 + share, "ess_min": share}},
        },
        "refinement": {
            "settings": {"target_acceptance": 0.8},
            "log_joint": {"before": {"1": share}, "after": {"1": 2.0}},
            "coherence": {"before": {"1": share}, "after": {"1": share}},
            "subsets": {"m0": {"rhat_max": 1.0 + share, "log_joint_after": share}},
        },
        "stage1_checkpoint": f"id{seed}",
        "notes": ["the same note"],
    }


@pytest.fixture
def records():
    return [one_seed(seed, share) for seed, share in enumerate(SHARES)]


def test_what_one_seed_continued_is_told_with_its_seed(records):
    assert "continued" not in combine(records)
    entry = {"stage": "joint", "step": 20, "num_steps": 20}
    records[1]["continued"] = [entry]
    assert combine(records)["continued"] == [{"seed": 1, **entry}]


def test_what_is_told_of_one_seed_is_told_of_all_and_its_numbers_are_not(records):
    told = "where 100 transitions of a chain end"
    records[1]["sampler"]["stand_in"] = told
    combined = combine(records)
    validate(combined)
    assert combined["sampler"]["stand_in"] == told
    for by_chance in (0.1, "a word"):
        records[1]["coherence"]["by_chance"] = by_chance
        with pytest.raises(
            ValueError, match=r"`coherence` has \['by_chance'\] in some"
        ):
            combine(records)


def test_measured_numbers_are_summarised(records):
    record = combine(records)
    assert validate(record) == []
    assert record["seeds"] == [0, 1, 2] and record["num_tuples"] == 50
    assert record["coherence"]["conditional"]["1"] == {
        "mean": statistics.fmean(SHARES),
        "sd": statistics.stdev(SHARES),
        "n": 3,
    }
    assert record["coherence"]["ceiling"] == {"mean": 0.9, "sd": 0.0, "n": 3}
    assert record["coherence"]["joint_entropy"] == {"normal": None}
    interval = record["coherence"]["interval"]["subsets"]["m0"]["m1"]
    assert interval["low"] == summarise(SHARES)
    assert record["stage1_checkpoint"] == "id0, id1, id2"
    refinement = record["refinement"]
    assert refinement["settings"] == {"target_acceptance": 0.8}
    assert refinement["log_joint"]["before"]["1"] == summarise(SHARES)
    assert refinement["subsets"]["m0"] == {
        "rhat_max": 1.0 + max(SHARES),
        "log_joint_after": summarise(SHARES),
    }
    assert record["data"] == records[0]["data"] and record["notes"] == ["the same note"]


def test_an_impropriety_that_nobody_knows_stays_unknown(records):
    for record in records:
        record["sampler"]["subsets"]["m0+m1"]["share_improper"] = None
        assert validate(record) == []
    record = combine(records)
    assert validate(record) == []
    found = record["sampler"]["subsets"]
    assert found["m0+m1"]["share_improper"] is None
    assert worst_of_sampler(found)["improper"] == "undefined"


def test_the_sampler_shows_its_worst_seed(records):
    sampler = combine(records)["sampler"]
    assert sampler["subsets"]["m0+m1"] == {"rhat_max": 1.875, "ess_min": 0.25}
    assert sampler["settings"] == records[0]["sampler"]["settings"]
    assert len(sampler["warnings"]) == 3


def test_records_that_do_not_belong_together(records):
    def changed(**changes):
        return [records[0], copy.deepcopy(records[1]) | changes]

    for others, told in (
        (records[:1], "has 1 entries, expected 2 or more"),
        (changed(seeds=[0]), r"seeds \[0, 0\], expected different"),
        (changed(commit="fffffff"), "`commit` differs"),
        (changed(num_tuples=51), "`num_tuples` differs"),
        (changed(data={"settings": {"noise": 0.25}}), "`data` differs"),
        (changed(extra=1.0), r"`record` has \['extra'\] in some"),
    ):
        with pytest.raises(ValueError, match=told):
            combine(others)
