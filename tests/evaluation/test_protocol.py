"""Protocol v1 on a model whose coherence is known by counting."""

import dataclasses
import math
import re
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare_inference import BareInference

from jnf_jax.evaluation import coherence
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.coherence import draw_latents, evaluate_coherence
from jnf_jax.evaluation.protocol import (
    SUBSETS,
    ProtocolSettings,
    SubsetDraws,
    protocol_name,
)
from jnf_jax.evaluation.statistics.bootstrap import macro_interval, share_interval
from jnf_jax.evaluation.subject import HeldOut, Subject
from jnf_jax.methods.method import SubsetInfo
from jnf_jax.sampling import ChainSettings

CLASSES = 4
LABELS = np.array([0] * 10 + [1] * 20 + [2] * 30 + [3] * 63, np.int32)


class Sure(NamedTuple):
    """A distribution that is all mean."""

    value: jax.Array

    def mean(self):
        return self.value


class LabelModel(BareInference):
    """z is a label: the right one given "a", else the next one.

    "c" cannot show label 0: its decoder shows label 1 instead.
    """

    modalities = ("a", "b", "c")
    prior_names = ("uniform", "ones")

    def infer(self, params, rng_key, views, subset, step_size=None):
        label = jnp.round(views["a"] * CLASSES)
        return jnp.where("a" in subset, label, (label + 1) % CLASSES), None

    def joint_log_prob(self, params, views, z):
        return z.sum(-1)

    def decode(self, params, z):
        shown = {"a": z, "b": z, "c": jnp.maximum(z, 1)}
        return {m: Sure(label / CLASSES) for m, label in shown.items()}

    def sample_prior(self, params, rng_key, num_samples, name=None):
        return (
            jnp.arange(num_samples) % CLASSES
            if name == "uniform"
            else (jnp.ones(num_samples, int))
        )


class ClosedFormModel(LabelModel):
    """Says how drawing went although no chain ran: Gaussian experts do."""

    def infer(self, params, rng_key, views, subset, step_size=None):
        z, _ = super().infer(params, rng_key, views, subset)
        if len(subset) != 2:
            return z, None
        rows = len(z)
        return z, SubsetInfo(
            jnp.zeros(()), jnp.ones(rows), jnp.zeros(rows, int), jnp.arange(rows) < 1
        )


class NoisyModel(LabelModel):
    """Its latents are the label, or a number, and noise."""

    def infer(self, params, rng_key, views, subset, step_size=None):
        z, info = super().infer(params, rng_key, views, subset)
        return z + 0.1 * jax.random.uniform(rng_key, z.shape), info

    def sample_prior(self, params, rng_key, num_samples, name=None):
        return (CLASSES - 1) * jax.random.uniform(rng_key, (num_samples,))


HELD_OUT = HeldOut(
    jnp.asarray(LABELS) / CLASSES,
    lambda arrays, rows: dict.fromkeys("abc", arrays[rows]),
    len(LABELS),
    LABELS,
    CLASSES,
)


def read_labels(scale, views):
    return {m: jnp.round(x * scale).astype(int) for m, x in views.items()}


def subject(inference, settings, held_out=HELD_OUT):
    predict = jax.tree_util.Partial(read_labels, jnp.float32(CLASSES))
    classifiers = Classifiers(predict, None, {}, None)
    return Subject(inference, {}, None, held_out, classifiers, settings)


def test_a_view_that_tells_nothing_of_the_label_is_no_matter_of_coherence():
    """It is given and generated, and neither judged nor counted on."""
    held_out = HELD_OUT._replace(unlabelled=("c",))
    settings = ProtocolSettings(
        num_prior_samples=400, batch_size=50, num_diagnostic_data=2
    )
    lines = []
    judged = subject(LabelModel(), settings, held_out)._replace(report=lines.append)
    report = evaluate_coherence(judged)
    whole = evaluate_coherence(subject(LabelModel(), settings))
    pairs = {("a",): "b", ("b",): "a", ("a", "c"): "b", ("b", "c"): "a"}
    assert {s: [*of] for s, of in report.accuracies.items()} == {
        s: [t] for s, t in pairs.items()
    }
    for s, t in pairs.items():
        assert report.accuracies[s][t].macro == whole.accuracies[s][t].macro
    one = np.mean([whole.accuracies[s][t].macro for s, t in pairs.items()][:2])
    assert report.table.macro["1"] == pytest.approx(one)
    assert report.table.num_subsets == {"1": 2, "2": 2}
    assert set(report.interval["subsets"]) == {"a", "b", "a+c", "b+c"}
    # All are drawn, by the same keys; two of three batches tell how fast.
    assert set(report.draws.given) == set(whole.draws.given) != set(pairs)
    assert set(report.draws_per_second) == {"a", "b", "c", "a+b", "a+c", "b+c"}
    assert min(report.draws_per_second.values()) > 0
    assert "given c: no label to agree on" in lines


@pytest.mark.parametrize("batch_size", [123, 50, 7, 1_000])
def test_protocol_counts_what_it_says(batch_size):
    settings = ProtocolSettings(
        num_prior_samples=400, batch_size=batch_size, num_diagnostic_data=2
    )
    report = evaluate_coherence(subject(LabelModel(), settings))
    # From "a" everything is right, but that "c" never shows 0; from others nothing is,
    # except that "c" shows 1 where label 3's successor, 0, is drawn: still not 3.
    to_b, to_c = report.accuracies["a",]["b"], report.accuracies["a",]["c"]
    assert (to_b.macro, to_b.micro) == (1, 1)
    assert to_c.macro == 3 / 4
    assert to_c.micro == pytest.approx(113 / 123)
    np.testing.assert_array_equal(to_c.per_class, [0, 1, 1, 1])
    one = ((1 + 3 / 4) / 2 + 0 + 0) / 3
    two = (3 / 4 + 1 + 0) / 3
    assert report.table.macro == pytest.approx({"1": one, "2": two})
    assert report.table.num_subsets == {"1": 3, "2": 3}
    assert report.ceiling == pytest.approx(113 / 123)
    # The prior counts up from 0 in every batch, and all draws but 0 agree.
    drawn = np.arange(400) % min(batch_size, 400) % CLASSES
    assert report.joint == pytest.approx({"uniform": (drawn != 0).mean(), "ones": 1})
    shares = np.bincount(drawn[drawn != 0], minlength=4)[1:] / (drawn != 0).sum()
    entropy = -(shares * np.log(shares)).sum()
    assert report.joint_entropy == pytest.approx({"uniform": entropy, "ones": 0})
    assert abs(entropy - math.log(3)) < 0.1
    assert report.sampler == {"subsets": {}, "warnings": []}


def test_how_long_many_subsets_take_is_said_before_they_are_drawn(monkeypatch):
    settings = ProtocolSettings(
        num_prior_samples=400, batch_size=50, num_diagnostic_data=2
    )
    lines, drawn = [], []

    class Watched(LabelModel):
        def infer(self, params, rng_key, views, subset, step_size=None):
            drawn.append((subset, len(lines)))
            time.sleep(0.06)
            return super().infer(params, rng_key, views, subset)

    judged = subject(Watched(), settings)._replace(report=lines.append)
    few = evaluate_coherence(judged)
    assert not any("at most" in line for line in lines)
    monkeypatch.setattr(coherence, "TOLD_AHEAD", 12)
    for num_known in (0, 2):  # of six, three batches each
        lines.clear(), drawn.clear()
        known = iter(range(6))

        def remember(name, work, known=known, num=num_known):
            if next(known) < num:
                lines.append("known")
                rest = set("abc") - set(name.split("+"))
                return SubsetDraws(dict.fromkeys(rest, LABELS), LABELS, None)
            return work()

        many = evaluate_coherence(judged, remember)
        place = lines.index(f"timing {6 - num_known} subsets by a batch given 2…")
        assert lines[:place].count("known") == num_known
        # At .06 s a batch and more.
        told = re.fullmatch(
            r"  at most (\d+) s, beside compiling each size once", lines[place + 1]
        )
        assert 1 <= int(told[1]) <= 20
        assert [s for s, said in drawn if said == place + 1] == [("b", "c")] * 2
    assert many.joint == few.joint
    lines.clear()
    draw_latents(judged)
    assert lines[0] == "timing 6 subsets by a batch given 2…"


def test_intervals_are_those_of_the_targets_and_of_the_tuples_that_count():
    num = 60
    settings = ProtocolSettings(
        num_tuples=num, num_prior_samples=400, batch_size=50, num_diagnostic_data=2,
        seed=3,
    )  # fmt: skip
    report = evaluate_coherence(subject(LabelModel(), settings))
    labels = LABELS[:num]
    # From "a" all is right, but that "c" shows no 0; from others nothing is.
    to_c = (labels != 0).astype(float)
    one, two = (1 + to_c) / 2 / 3, (to_c + 1) / 3
    assert report.interval["conditional"] == {
        size: macro_interval(scores, labels, seed=3)._asdict()
        for size, scores in (("1", one), ("2", two))
    }
    assert report.interval["joint"] == {
        name: share_interval(share, 400, seed=3)._asdict()
        for name, share in report.joint.items()
    }
    expected = share_interval(report.ceiling, num, seed=3)._asdict()
    assert report.interval["ceiling"] == expected


def test_without_subsets_joint_draws_are_those_of_the_whole_protocol():
    """The model's draws follow the key that they are given, in both runs the same."""

    class Random(LabelModel):
        def infer(self, params, rng_key, views, subset, step_size=None):
            if len(subset) < 3:
                return super().infer(params, rng_key, views, subset)
            return jax.random.randint(rng_key, views["a"].shape, 0, CLASSES), None

        def sample_prior(self, params, rng_key, num_samples, name=None):
            return jax.random.randint(rng_key, (num_samples,), 0, CLASSES)

    settings = ProtocolSettings(num_prior_samples=400, batch_size=64)
    whole, joint = (
        evaluate_coherence(
            subject(Random(), dataclasses.replace(settings, subsets=subsets))
        )
        for subsets in ("all", "none")
    )
    assert 0.5 < whole.ceiling < 1 and 0.5 < whole.joint["ones"] < 1
    assert (joint.ceiling, joint.joint) == (whole.ceiling, whole.joint)
    assert joint.joint_entropy == whole.joint_entropy
    assert joint.accuracies == {} and joint.table == ({}, {}, {})
    chains = ChainSettings()
    for modalities, expected in (
        ("abcde", ["v1", "v1", "v1-custom"]),
        ("abcdef", ["v1-custom", "v1", "v1-custom"]),
    ):
        assert expected == [
            protocol_name(ProtocolSettings(subsets=s), chains, 10_000, modalities)
            for s in SUBSETS
        ]


class SixViews(NoisyModel):
    """ "d", "e" and "f" show what "b" does."""

    modalities = tuple("abcdef")

    def decode(self, params, z):
        return {m: Sure(jnp.floor(z) / CLASSES) for m in self.modalities}


def test_of_many_subsets_some_are_given_with_the_draws_that_all_have():
    lines = []
    held_out = HELD_OUT._replace(
        fetch=lambda arrays, rows: dict.fromkeys("abcdef", arrays[rows])
    )
    settings = ProtocolSettings(
        num_tuples=20, num_prior_samples=30, batch_size=20, num_diagnostic_data=2
    )
    some, every = (
        evaluate_coherence(
            subject(
                SixViews(), dataclasses.replace(settings, subsets=subsets), held_out
            )._replace(report=lines.append)
        )
        for subsets in ("some", "all")
    )
    assert some.table.num_subsets == dict.fromkeys("12345", 6)
    assert every.table.num_subsets == {
        "1": 6, "2": 15, "3": 20, "4": 15, "5": 6
    }  # fmt: skip
    assert lines[0].startswith("30 of 62 subsets will be given, about as many of each")
    for given, z in some.draws.given.items():
        np.testing.assert_array_equal(z, every.draws.given[given])
    assert some.joint == every.joint and some.ceiling == every.ceiling
    means = {
        size: np.mean([
            np.mean([a.macro for a in of.values()])
            for given, of in some.accuracies.items() if len(given) == int(size)
        ])
        for size in "12345"
    }  # fmt: skip
    assert some.table.macro == pytest.approx(means)


def test_posteriors_in_closed_form_have_a_quality_too():
    settings = ProtocolSettings(
        num_prior_samples=8, batch_size=123, num_diagnostic_data=2
    )
    report = evaluate_coherence(subject(ClosedFormModel(), settings))
    assert set(report.sampler["subsets"]) == {"a+b", "a+c", "b+c"}
    assert report.sampler["subsets"]["a+b"] == {
        "step_size": 0.0,
        "acceptance": 1.0,
        "share_with_divergences": 0.0,
        "share_improper": pytest.approx(1 / 123),
    }
    assert len(report.sampler["warnings"]) == 3


def test_draws_are_kept_and_are_the_same_without_a_classifier():
    settings = ProtocolSettings(
        num_tuples=60, num_prior_samples=70, batch_size=50, num_diagnostic_data=2
    )
    report = evaluate_coherence(subject(NoisyModel(), settings))
    unlabelled = subject(NoisyModel(), settings, HELD_OUT._replace(labels=None))
    draws = draw_latents(unlabelled._replace(classifiers=None))
    assert set(draws.given) == set(report.accuracies)
    assert set(draws.unconditional) == set(report.joint)
    jax.tree.map(np.testing.assert_array_equal, draws, report.draws)
    shown = {s: np.floor(z).astype(int) % CLASSES for s, z in draws.given.items()}
    assert all(len(z) == 60 for z in shown.values())
    right = (shown["a", "c"] == LABELS[:60]).mean()
    assert right == report.accuracies["a", "c"]["b"].micro == 1
    assert [len(z) for z in draws.unconditional.values()] == [70, 70]
    # No noise comes twice, in 60 tuples and 70 draws of two batches each.
    for z in draws.given.values():
        assert len(np.unique(z - np.floor(z))) == 60
    for z in draws.unconditional.values():
        assert len(np.unique(z)) == 70
