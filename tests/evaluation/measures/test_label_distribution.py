"""Total variation of models whose labels are known; a collapsed one has 0.9."""

import dataclasses
import functools
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bare_inference import BareInference

from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.evaluation.classifiers import Classifiers
from jnf_jax.evaluation.coherence import draw_and_judge, joint_coherence
from jnf_jax.evaluation.measures import label_distribution
from jnf_jax.evaluation.measures.label_distribution import (
    Settings,
    compare,
    data_faults,
    discrete_views,
)
from jnf_jax.evaluation.protocol import ProtocolSettings
from jnf_jax.evaluation.subject import HeldOut, Subject

NUM, NUM_DRAWS = 400, 5_000
DIGIT, QUADRANT = (np.arange(NUM) % 10).astype(np.int32), np.arange(NUM) // 10 % 4
SHAPES = {"image": (1, 1, 1), "label": (1, 10), "quadrant": (1, 4)}
TILTED = np.arange(1, 11) / 55
"""A model's digits given the quadrant; no share is that of the truth."""


def fetch(arrays, rows):
    """A picture of one pixel, as dark as its digit is large."""
    digit, quadrant = arrays["digit"][rows], arrays["quadrant"][rows]
    return {
        "image": digit[:, None, None, None] / 10.0,
        "label": jax.nn.one_hot(digit, 10)[:, None],
        "quadrant": jax.nn.one_hot(quadrant, 4)[:, None],
    }


class Latents(NamedTuple):
    digit: jax.Array
    quadrant: jax.Array


class Known(BareInference):
    """What is given is copied; the other label is drawn from a known distribution."""

    modalities = tuple(SHAPES)
    prior_names = ("normal",)

    def __init__(self, digits):
        self.digits = jnp.log(jnp.asarray(digits, jnp.float32))

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def infer(self, params, rng_key, views, subset, step_size=None):
        num = len(views[subset[0]])
        digit, quadrant = self.sample_prior(params, rng_key, num)
        if "label" in subset:
            digit = views["label"][:, 0].argmax(-1)
        if "image" in subset:
            digit = jnp.round(10 * views["image"][:, 0, 0, 0]).astype(int)
        if "quadrant" in subset:
            quadrant = views["quadrant"][:, 0].argmax(-1)
        return Latents(digit, quadrant), None

    @functools.partial(jax.jit, static_argnums=(0, 3, 4))
    def sample_prior(self, params, rng_key, num_samples, name=None):
        keys = jax.random.split(rng_key)
        digit = jax.random.categorical(keys[0], self.digits, shape=(num_samples,))
        return Latents(digit, jax.random.randint(keys[1], (num_samples,), 0, 4))

    @functools.partial(jax.jit, static_argnums=0)
    def decode(self, params, z):
        views = fetch(z._asdict(), slice(None))
        return {m: distrax.Deterministic(x) for m, x in views.items()}


def read(views):
    """The class of the picture, and of the label; a quadrant tells none."""
    digit = {"image": lambda x: jnp.round(10 * x[:, 0, 0, 0])}
    digit["label"] = digit["quadrant"] = lambda x: x[:, 0].argmax(-1)
    return {m: digit[m](x).astype(int) for m, x in views.items()}


def make(digits, lines=None):
    arrays = {"digit": DIGIT, "quadrant": QUADRANT}
    held_out = HeldOut(
        jax.tree.map(jnp.asarray, arrays), fetch, NUM, DIGIT, 10
    )  # fmt: skip
    data = Dataset(
        name="quadrants",
        shapes=SHAPES,
        splits={"test": Split(arrays, NUM, DIGIT)},
        fetch=lambda arrays, rows: fetch(jax.tree.map(jnp.asarray, arrays), rows),
        num_classes=10,
        record={"checksums": {}},
    )
    accuracy = dict.fromkeys(SHAPES, 1.0)
    classifiers = Classifiers(jax.tree_util.Partial(read), None, accuracy, None)
    return Subject(
        Known(digits), {}, data, held_out, classifiers,
        ProtocolSettings(num_tuples=100, batch_size=1_000),
        report=(lambda line: None) if lines is None else lines.append,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tilted():
    return label_distribution.measure(make(TILTED), Settings(NUM_DRAWS))


def test_it_is_that_of_the_known_distribution(tilted):
    exact = 0.5 * np.abs(TILTED - 0.1).sum()
    # TV is ½ Σ_a ± p̂_a where no share is the true one: 4 standard errors.
    sign = np.sign(TILTED - 0.1)
    error = 0.5 * np.sqrt((1 - (sign @ TILTED) ** 2) / NUM_DRAWS)
    assert len(tilted["conditions"]["quadrant"]) == 4
    for of in tilted["conditions"]["quadrant"].values():
        for target in ("image", "label"):
            assert abs(of[target]["tv"] - exact) < 4 * error
            shares = np.array(list(of[target]["shares"].values()))
            # The largest of ten deviations: 4 standard errors of each.
            deviation = np.sqrt(TILTED * (1 - TILTED) / NUM_DRAWS)
            assert (np.abs(shares - TILTED) < 4 * deviation).all()
    nothing = tilted["given"]["nothing, z from normal"]
    assert abs(nothing["tv"]["image"] - exact) < 4 * error
    # What the model draws evenly is as near the truth as true draws are.
    for found in (nothing, tilted["given"]["label"]):
        assert found["tv"]["quadrant"] < 2.5 * found["floor"]["quadrant"]


def test_the_floor_is_that_of_as_many_true_draws(tilted):
    """E TV = ½ Σ_a E|p̂_a − p_a|, and E|x| = sd √(2/π) of a normal."""
    found = tilted["given"]["quadrant"]["floor"]["image"]
    expected = 0.5 * 10 * np.sqrt(0.1 * 0.9 / NUM_DRAWS * 2 / np.pi)
    assert found == pytest.approx(expected, rel=0.05)  # 4 s.e. of 200 are 0.05


def test_only_what_is_left_open_is_judged(tilted):
    # Given the label the picture has none to choose; an image is no label to count.
    assert set(tilted["given"]) == {"nothing, z from normal", "label", "quadrant"}
    assert set(tilted["given"]["label"]["tv"]) == {"quadrant"}
    assert set(tilted["given"]["quadrant"]["tv"]) == {"image", "label"}
    assert tilted["num_tuples"] == NUM  # not the hundred that are evaluated
    largest = tilted["given"]["quadrant"]["largest"]["image"]
    each = [of["image"]["tv"] for of in tilted["conditions"]["quadrant"].values()]
    assert largest == max(each) > np.mean(each)


def test_a_collapsed_model_is_coherent_and_far_from_the_truth():
    lines = []
    subject = make(np.eye(10)[3], lines)
    found = label_distribution.measure(subject, Settings(NUM_DRAWS))
    assert found["given"]["quadrant"]["tv"] == pytest.approx(
        {"image": 0.9, "label": 0.9}
    )
    assert "labels given quadrant: TV {'image': 0.9" in " ".join(lines)

    def draw(number, rows):
        key = jax.random.key(number)
        return {"drawn": subject.inference.sample_prior({}, key, len(rows))}, None

    shown, _ = draw_and_judge(subject, draw, ("image", "label"), NUM)
    share, entropy = joint_coherence(shown["drawn"], subject.held_out)
    assert (share, entropy) == (1.0, 0.0)
    # The picture given the label is the right one, too.
    views = subject.held_out.views(np.arange(NUM, dtype=np.int32))
    z, _ = subject.inference.infer({}, jax.random.key(0), views, ("label",))
    np.testing.assert_array_equal(read(fetch(z._asdict(), slice(None)))["image"], DIGIT)


def test_few_conditions_and_no_classifiers():
    subject = make(TILTED)._replace(classifiers=None)
    found = label_distribution.measure(subject, Settings(100, num_conditions=2))
    # Without classes the label is counted still, for it is a view.
    assert set(found["given"]["quadrant"]["tv"]) == {"label"}
    assert len(found["conditions"]["quadrant"]) == 2
    none = subject._replace(protocol=ProtocolSettings(subsets="none"))
    found = label_distribution.measure(none, Settings(100))
    assert set(found["given"]) == {"nothing, z from normal"}


def test_data_without_a_label_of_their_own_are_told_of():
    data = make(TILTED).dataset
    assert discrete_views(data) == ("label", "quadrant")
    asked = (Settings(), "evaluation.label_distribution")
    assert not data_faults(*asked, data, ProtocolSettings())
    picture = dataclasses.replace(data, shapes={"image": SHAPES["image"]})
    assert data_faults(*asked, picture, ProtocolSettings()) == [
        "`evaluation.label_distribution` is measured, and no view of 'quadrants' "
        "is one value out of few: expected one of shape (1, classes), one-hot"
    ]
    # A vector of as many numbers is none.
    twice = dataclasses.replace(
        data, fetch=lambda *of: {m: 2 * x for m, x in fetch(*of).items()}
    )
    assert discrete_views(twice) == ()


def test_labels_that_never_come_count():
    found = compare(np.array([0, 0, 1, 1]), np.array([0.25, 0.25, 0.5]))
    assert found["tv"] == 0.5 and found["shares"] == {"0": 0.5, "1": 0.5, "2": 0.0}
