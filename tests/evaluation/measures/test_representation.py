"""Probes, reconstructions and diversity of models whose answers are known."""

from types import SimpleNamespace
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare_inference import BareInference

from jnf_jax import options
from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.evaluation.measures import representation
from jnf_jax.evaluation.measures.representation import (
    Settings,
    class_spreads,
    data_faults,
    mean_ratio,
    probe_accuracy,
)
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject

NUM, CLASSES = 120, 3
LABELS = (np.arange(NUM) % CLASSES).astype(np.int32)
NOISE = np.random.default_rng(0).standard_normal((2, NUM, 2)).astype(np.float32)
VIEWS = {m: (5 * LABELS[:, None] + NOISE[i])[:, None] for i, m in enumerate("ab")}
SCALE = 0.5


class Latents(NamedTuple):
    """As of a model with private latents."""

    shared: jax.Array
    private: jax.Array


class Copying(BareInference):
    """z is x_j itself; "b" is decoded from it shrunk around the class's mean.

    From both, z is the mean of the two. Labels are in z: x_j = 5 y + noise.
    """

    modalities = ("a", "b")
    prior_names = ("normal",)

    def __init__(self, shrinkage):
        self.shrinkage = shrinkage

    def infer(self, params, rng_key, views, subset, step_size=None):
        z = sum(views[m][:, 0] for m in subset) / len(subset)
        return Latents(z, jnp.zeros_like(z)), None

    def decode(self, params, z):
        mean = 5 * jnp.round(z.shared.mean(-1, keepdims=True) / 5)
        shrunk = mean + self.shrinkage * (z.shared - mean)
        return {
            m: distrax.Independent(distrax.Normal(x[:, None], SCALE), 2)
            for m, x in {"a": z.shared, "b": shrunk}.items()
        }


def tuples(labels):
    arrays = {m: jnp.asarray(x) for m, x in VIEWS.items()}
    return HeldOut(
        arrays, lambda a, rows: {m: x[rows] for m, x in a.items()}, NUM, labels, CLASSES
    )


def measure(shrinkage, labels=LABELS, report=lambda line: None):
    held_out = tuples(labels)  # what probes are fitted to, too
    subject = Subject(
        Copying(shrinkage),
        {},
        SimpleNamespace(splits={"train": held_out}),
        held_out,
        None,
        ProtocolSettings(batch_size=50, num_diagnostic_data=2),
        report=report,
    )
    return representation.measure(subject, Settings(num_probe_tuples=60))


def test_copies_and_collapse():
    whole, half, collapsed = (measure(shrinkage) for shrinkage in (1.0, 0.5, 0.0))
    # x̃_b = x_a, whose spread within a class is its own, not that of x_b.
    a, b = (class_spreads(VIEWS[m], LABELS) for m in "ab")
    ratio = np.mean([a[y] / b[y] for y in range(CLASSES)])
    assert whole["diversity_by_given"]["a"]["b"] == pytest.approx(ratio, rel=1e-5)
    assert half["diversity"]["b"] == pytest.approx(ratio / 2, rel=1e-5)
    assert collapsed["diversity"]["b"] == pytest.approx(0, abs=1e-6)
    assert collapsed["diversity"]["a"] == pytest.approx(
        np.mean([b[y] / a[y] for y in range(CLASSES)]), rel=1e-5
    )
    assert min(collapsed["probe"].values()) > 0.95  # z still knows all


def test_reconstructions():
    found = measure(1.0)["reconstruction"]
    assert found["own"]["absolute_error"] == {"a": 0.0, "b": 0.0}
    # Two values at distance 0 of N(x, 0.5²).
    at_mean = -2 * np.log(SCALE * np.sqrt(2 * np.pi))
    assert found["own"]["log_prob"]["a"] == pytest.approx(at_mean, rel=1e-5)
    # From both: half the difference of the two.
    off = np.abs(VIEWS["a"] - VIEWS["b"]) / 2
    assert found["joint"]["absolute_error"]["a"] == pytest.approx(off.mean(), rel=1e-5)
    expected = at_mean - (off**2).sum((1, 2)).mean() / (2 * SCALE**2)
    assert found["joint"]["log_prob"]["b"] == pytest.approx(expected, rel=1e-5)


def test_without_labels_there_are_reconstructions():
    lines = []
    found = measure(1.0, labels=None, report=lines.append)
    assert set(found) == {"num_tuples", "reconstruction"}
    assert lines == ["not measured: probes and diversity within class need labels"]


def test_spread_is_the_root_mean_square_distance_of_pairs():
    values = np.random.default_rng(1).random((40, 3, 2))
    labels = np.arange(40) % 2
    for y, spread in class_spreads(values, labels).items():
        rows = values[labels == y].reshape(20, -1)
        squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
        assert spread == pytest.approx(np.sqrt(squares.sum() / (20 * 19)))
    assert class_spreads(values[:3], np.array([0, 1, 1])).keys() == {1}


def test_classes_without_spread_are_left_out():
    assert mean_ratio({0: 1.0, 1: 3.0}, {0: 2.0, 1: 0.0}) == 0.5
    assert mean_ratio({0: 1.0}, {0: 0.0}) is None


def test_a_probe_of_noise_is_at_chance():
    rng = np.random.default_rng(2)
    z, labels = rng.standard_normal((2, 2_000, 4)), rng.integers(0, 4, (2, 2_000))
    accuracy = probe_accuracy(z[0], labels[0], z[1], labels[1])
    assert abs(accuracy - 0.25) < 0.05  # 5 standard errors of 2,000


def test_settings_of_no_use():
    assert options.faults(Settings(-1, 1), "e.r") == [
        "`e.r.num_tuples` is -1, expected >= 0",
        "`e.r.num_probe_tuples` is 1, expected >= 2",
    ]


def test_probes_need_two_classes_among_their_tuples():
    train = Split({}, size=4, labels=np.array([3, 3, 3, 1]))
    dataset = Dataset("four", {"a": (1,)}, {"train": train}, lambda a, i: {}, 4, {})

    def faults(num):
        settings = Settings(num_probe_tuples=num)
        return data_faults(settings, "e.r", dataset, ProtocolSettings())

    assert not faults(4)
    (fault,) = faults(3)
    assert fault.startswith("`e.r.num_probe_tuples` is 3, expected as many as have two")
    assert fault.endswith("the first training tuples are all of [3]")
