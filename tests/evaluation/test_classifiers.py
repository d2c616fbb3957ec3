"""The evaluation classifiers: what they measure, and that they are trained once."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stored_tuples

from jnf_jax.data import record_files
from jnf_jax.data.dataset import Dataset, Split
from jnf_jax.evaluation import classifiers
from jnf_jax.evaluation.classifiers import train_classifiers
from jnf_jax.training.optimizers import TrainSettings

SETTINGS = TrainSettings(num_steps=60, batch_size=16, select="last")


def two_classes(read_label=None, num_classes=2) -> Dataset:
    """Bright top or bright bottom, in two modalities; one test label in five is wrong
    in the labels, so that accuracy is 0.8 for a reader that makes no mistake."""
    rng = np.random.default_rng(0)
    splits = {}
    for name, size in (("train", 200), ("validation", 20), ("test", 50)):
        shown = rng.integers(2, size=size).astype(np.int32)
        pictures = rng.uniform(0, 0.3, (size, 16, 16, 1)).astype(np.float32)
        pictures[shown == 0, :8] += 0.6
        pictures[shown == 1, 8:] += 0.6
        labels = shown.copy()
        if name == "test":
            labels[::5] = 1 - labels[::5]
        splits[name] = Split(pictures, size, labels)
    return Dataset(
        name="bright",
        shapes={"a": (16, 16, 1), "b": (16, 16, 1)},
        splits=splits,
        fetch=lambda pictures, rows: {"a": pictures[rows], "b": 1 - pictures[rows]},
        num_classes=num_classes,
        record={"checksums": {"pictures": "0"}},
        read_label=read_label,
    )


def test_values_are_clipped_where_data_lie_in_unit_range(tmp_path):
    def is_dark(x):
        return x.mean(axis=(1, 2, 3)) < 0

    data = two_classes(is_dark)
    views = {m: -jnp.ones((2, 16, 16, 1)) for m in "ab"}
    clipped = train_classifiers(data, SETTINGS, tmp_path).predict(views)
    assert not any(labels.any() for labels in clipped.values())
    data = dataclasses.replace(data, unbounded=("b",))
    seen = train_classifiers(data, SETTINGS, tmp_path).predict(views)
    assert not seen["a"].any() and seen["b"].all()


def test_accuracy_is_measured_on_test_labels_and_weights_are_arguments(tmp_path):
    found = train_classifiers(two_classes(), SETTINGS, tmp_path)
    assert found.accuracy == {"a": 0.8, "b": 0.8}
    assert found.checkpoint_id
    views = {"b": jnp.zeros((3, 16, 16, 1))}  # any modality alone
    features = found.features(views)["b"]
    darker = found.features({"b": views["b"] - 1})["b"]
    np.testing.assert_array_equal(darker, features)  # as data have them: in [0, 1]
    assert features.shape == (3, 256) and (features >= 0).all() and features.any()
    # Weights built into a program as constants would not be leaves.
    assert sum(leaf.size for leaf in jax.tree.leaves(found.predict)) > 1_000


def test_a_view_that_tells_nothing_of_the_label_is_read_by_none(tmp_path):
    data = dataclasses.replace(two_classes(), unlabelled=("b",))
    found = train_classifiers(
        data, dataclasses.replace(SETTINGS, num_steps=2), tmp_path
    )
    views = {m: jnp.zeros((3, 16, 16, 1)) for m in "ab"}
    assert {*found.predict(views)} == {*found.accuracy} == {"a"}


def test_a_set_with_other_labels_has_other_classifiers(tmp_path):
    """The same bytes of views, labels shifted by one: once, the first ones judged."""

    def written(name, shift):
        splits = {
            split: [(pictures, (labels + shift) % stored_tuples.NUM_CLASSES)]
            for split, size in stored_tuples.SIZES.items()
            for pictures, labels in [stored_tuples.part(np.arange(size))]
        }
        return record_files.open_dataset(
            stored_tuples.write(tmp_path / name, splits=splits)
        )

    def judged_by(data):
        settings = TrainSettings(num_steps=1, batch_size=16, select="last")
        return train_classifiers(data, settings, tmp_path / "cache").checkpoint_id

    first, shifted = written("first", 0), written("shifted", 1)
    assert judged_by(first) != judged_by(shifted)
    assert len(list((tmp_path / "cache" / "classifiers").glob("*/"))) == 2
    assert judged_by(written("again", 0)) == judged_by(first)
    with_spare_class = dataclasses.replace(first, num_classes=6)
    assert judged_by(with_spare_class) != judged_by(first)  # trained, and no error
    assert len(list((tmp_path / "cache" / "classifiers").glob("*/"))) == 3


def test_two_runs_at_once_train_one_set(tmp_path, monkeypatch):
    trainings = []
    train = classifiers.train

    def counted(*args, **options):
        result = train(*args, **options)
        trainings.append(result.resumed_from)
        return result

    monkeypatch.setattr(classifiers, "train", counted)
    results = [None, None]

    def run(number):
        results[number] = train_classifiers(two_classes(), SETTINGS, tmp_path)

    threads = [threading.Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0].checkpoint_id == results[1].checkpoint_id
    assert sorted(trainings) == [0, SETTINGS.num_steps]


def test_a_rule_needs_no_training_and_no_label_is_an_error(tmp_path):
    def read_label(x):
        return x[:, 8:].mean((1, 2, 3)) > x[:, :8].mean((1, 2, 3))

    found = train_classifiers(two_classes(read_label), SETTINGS, tmp_path)
    # The rule reads "b", the negative, the wrong way round.
    assert found.accuracy == pytest.approx({"a": 0.8, "b": 0.2})
    assert found.checkpoint_id is found.features is None and not list(
        tmp_path.iterdir()
    )
    with pytest.raises(ValueError, match="'bright' has no labels"):
        train_classifiers(two_classes(num_classes=None), SETTINGS, tmp_path)
