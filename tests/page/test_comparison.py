"""What is the best of several records, and where none is."""

import numpy as np
import page_runs
import pytest

from jnf_jax.evaluation import measures, paired
from jnf_jax.evaluation.paired import Scores
from jnf_jax.page import comparison, findings
from jnf_jax.page.runs import read_runs


@pytest.fixture
def runs(tmp_path):
    def make(*changes, **options):
        for i, change in enumerate(changes):
            judged = page_runs.record(**change)
            page_runs.write(tmp_path / f"run{i}", judged=judged, **options)
        return read_runs([tmp_path / f"run{i}" for i in range(len(changes))])

    return make


def by_heading(quantities):
    return {q.heading: q for q in quantities}


def coherence(**changes):
    return {"coherence": page_runs.record()["coherence"] | changes}


def test_the_best_to_the_digits_that_are_shown(runs):
    of_seeds = {"1": {"mean": 0.5996, "sd": 0.02, "n": 3}, "2": 0.7}
    both = runs({}, coherence(conditional=of_seeds), coherence(conditional={"1": 0.6}))
    assert comparison.why_incomparable(both) is None
    found = by_heading(comparison.protocol(both))
    one = found["coherence given 1 view"]
    texts = ["0.500 [0.450, 0.550]", "0.600 ± 0.020", "0.600 [0.450, 0.550]"]
    assert [one.text(i) for i in range(3)] == texts
    assert [one.is_best(i) for i in range(3)] == [False, True, True]
    two = found["coherence given 2 views"]
    assert [two.text(i) for i in range(3)] == ["0.750", "0.700", "–"]
    assert [two.is_best(i) for i in range(3)] == [True, False, False]
    judges = found["accuracy of the judge of text, real data"]
    assert not any(judges.is_best(i) for i in range(3))


def test_log_q_is_compared_on_one_joint_model_alone(runs):
    both = runs(*({"unimodal_log_prob": {"image": value}} for value in (-3.0, -2.0)))
    name = "log q(z | image), nats"
    same = by_heading(comparison.protocol(both))[name]
    assert same.is_best(1) and not same.is_best(0)
    other = both[1]._replace(record=both[1].record | {"stage1_checkpoint": "joint/2"})
    apart = by_heading(comparison.protocol([both[0], other]))[name]
    assert not apart.is_best(0) and not apart.is_best(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "another"}, "data sets"),
        ({"data": {"checksums": {"a": "1"}}}, "data (their checksums differ)"),
        ({"protocol": "v1-custom"}, "protocols"),
        ({"classifier_checkpoint": "x"}, "classifiers"),
    ],
)
def test_other_data_or_judges_have_no_best(runs, change, said):
    told = comparison.why_incomparable(runs({}, change))
    assert told == f"The runs were measured with different {said}: none is called best."


def test_measures_are_shown_as_they_declare(runs):
    better = page_runs.record()["representation"] | {
        "reconstruction": {"joint": {"absolute_error": {"image": 0.125}}}
    }
    [(name, said, numbers)] = comparison.measured(runs({}, {"representation": better}))
    assert (name, said) == (
        "representation",
        measures.load("representation").TABLES[0].said,
    )
    found = by_heading(numbers)
    assert found["probe: image"].text(0) == "0.875"
    error = found["absolute error: image"]
    assert error.is_best(1) and not error.is_best(0)


def test_directions_have_their_intervals(runs):
    interval = {"subsets": {"image": {"text": {"low": 0.2, "high": 0.3}}}}
    found = by_heading(comparison.directions(runs(coherence(interval=interval))))
    assert found["image → text"].text(0) == "0.250 [0.200, 0.300]"
    assert found["image → sound"].text(0) == "0.500"


def findings_of(runs, **changes):
    return {f.said: f for f in findings.findings(runs(changes)[0])}


@pytest.mark.parametrize(("rhat", "level"), [(1.01, "good"), (2.0, "warning")])
def test_chains_that_disagree_are_warned_of(runs, rhat, level):
    sampler = page_runs.record()["sampler"]
    chains = sampler["subsets"]["image+sound"] | {"rhat_max": rhat}
    found = findings_of(runs, sampler=sampler | {"subsets": {"image+sound": chains}})
    [told] = [f for said, f in found.items() if said.startswith("Given 2, the worst")]
    assert told.level == level and f"max R-hat {rhat:.2f}" in told.said


def test_every_warning_of_a_record_is_told(runs):
    measure = page_runs.record()["representation"] | {"warnings": ["first", "second"]}
    found = findings_of(runs, representation=measure, notes=["a note"])
    assert found["representation: first (and 1 more like it)"].level == "warning"
    assert found["a note"].level == "note"


def test_entropy_is_told_as_classes(runs):
    found = findings_of(runs)
    [told] = [f for said, f in found.items() if said.startswith("Their labels")]
    assert told.said.startswith("Their labels have an entropy of 0.60 of at most 0.69")
    assert "as much as 1.8 of 2 classes" in told.means and told.level == "note"


def test_runs_are_compared_on_the_same_tuples(runs):
    """With the first, where both kept what each tuple scored."""
    both, labels = runs({}, {}), np.array([0, 0, 1, 1])
    assert comparison.paired_with_first(both) == []
    low, high = np.array([0.0, 1, 0, 1]), np.array([0.0, 1, 1, 1])
    paired.keep(both[0].folder, Scores({"1": low, "2": high}, labels))
    assert comparison.paired_with_first(both) == []
    paired.keep(both[1].folder, Scores({"1": high}, labels))
    (found,) = comparison.paired_with_first(both)
    assert found.heading == "given 1, less that of run0"
    # Differences 0 and 0, 1 and 0: the second class has a variance of 1/2, of two rows.
    half = 1.96 * np.sqrt(0.25) / 2
    assert found.text(0) == "–" and found.values[1] == 0.25
    assert found.text(1) == f"0.250 [{0.25 - half:.3f}, {0.25 + half:.3f}]"
    paired.keep(both[1].folder, Scores({"1": high}, labels, "others"))
    assert comparison.paired_with_first(both) == []
