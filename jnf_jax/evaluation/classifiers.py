"""The evaluation classifiers: trained once a data set, cached with their accuracy."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jnf_jax import checkpoint
from jnf_jax.content_keys import content_key, identity
from jnf_jax.data.dataset import Dataset, contents, indices_of
from jnf_jax.data.tfds_cache import cache_argument, cache_root, locked
from jnf_jax.evaluation.protocol import Predict
from jnf_jax.names import file_name
from jnf_jax.networks.classifier import Classifier, Reading
from jnf_jax.runtime import parallel, processes
from jnf_jax.runtime.batching import map_batches
from jnf_jax.runtime.files import try_folder
from jnf_jax.stage import Stage
from jnf_jax.training.optimizers import TrainSettings
from jnf_jax.training.trainer import train
from jnf_jax.types import Params, Views

ACCURACY_BATCH_SIZE = 500


class Classifiers(NamedTuple):
    """Frozen classifiers of all modalities, or the rule that reads the label exactly.

    Both functions see values as data have them: decoder means are clipped to [0, 1]
    where data lie there. Any modalities may be left out, and those that tell nothing of
    the label are.

    Attributes:
        predict: {m: f32[B, ...]} -> {m: i32[B]}.
        features: {m: f32[B, ...]} -> {m: f32[B, F]}, of the last hidden layer; None for
            a rule.
        accuracy: {m: share of real test pictures that are read right}.
        checkpoint_id: Identity of their weights; None for a rule.
    """

    predict: Predict
    features: Callable[[Views], dict[str, jax.Array]] | None
    accuracy: dict[str, float]
    checkpoint_id: str | None


def train_classifiers(
    dataset: Dataset,
    settings: TrainSettings,
    cache_dir: str | Path = "",
    mesh: jax.sharding.Mesh | None = None,
) -> Classifiers:
    """Trains them, or reads those that an earlier run left in ``cache_dir``.

    A data set whose label a rule reads without error needs none. Else the train and
    validation splits fit them and the test split measures them; below ``cache_dir``
    ("" is the user's), which all processes of the run see, is one directory for each
    data set, with its labels, and settings. ``mesh`` trains and applies them.

    Raises:
        ValueError: If the data set has no labels.
    """
    if dataset.num_classes is None:
        raise ValueError(f"data set {dataset.name!r} has no labels to classify")
    if dataset.read_label is not None:

        def rule(views: Views) -> dict[str, jax.Array]:
            seen = dataset.clip(views)
            return {m: dataset.read_label(x).astype(int) for m, x in seen.items()}

        return Classifiers(rule, None, _test_accuracy(rule, dataset, mesh), None)
    directory, about = _place_of(dataset, settings, cache_dir)
    network = Classifier(dataset.num_classes)
    with contextlib.ExitStack() as stack:
        # A second run that wants the same classifiers waits, then reads the first's. Of
        # the processes of one run the first asks for the lock: they train together.
        if not processes.any_of_all(_are_there(directory, settings)):
            processes.on_first(lambda: try_to_keep(dataset, settings, cache_dir))
            processes.on_first(lambda: stack.enter_context(locked(directory)))
        result = train(
            _classifier_stage(network, dataset),
            settings,
            directory=directory,
            metadata=identity("classifiers", about),
            mesh=parallel.dividing_mesh(mesh, settings.batch_size),
        )
    weights = parallel.put(result.params, parallel.replicated(mesh))

    def read(params: Params, views: Views) -> dict[str, Reading]:
        seen = dataset.clip(views)
        return {
            m: network.apply({"params": params[m]}, x)
            for m, x in seen.items()
            if m in params
        }

    def classify(params: Params, views: Views) -> dict[str, jax.Array]:
        return {m: r.logits.argmax(-1) for m, r in read(params, views).items()}

    def hidden(params: Params, views: Views) -> dict[str, jax.Array]:
        return {m: r.features for m, r in read(params, views).items()}

    predict = jax.tree_util.Partial(classify, weights)
    accuracy = _test_accuracy(predict, dataset, mesh)
    features = jax.tree_util.Partial(hidden, weights)
    return Classifiers(predict, features, accuracy, result.checkpoint_id)


def try_to_keep(
    dataset: Dataset, settings: TrainSettings, cache_dir: str | Path = ""
) -> None:
    """Tries whether classifiers that have to be trained can be kept.

    Raises:
        OSError: They cannot; names what a user can set.
    """
    if dataset.num_classes is None or dataset.read_label is not None:
        return
    directory, _ = _place_of(dataset, settings, cache_dir)
    if not _are_there(directory, settings):
        try_folder(directory, cache_argument(cache_dir))


def _place_of(
    dataset: Dataset, settings: TrainSettings, cache_dir: str | Path
) -> tuple[Path, dict[str, Any]]:
    """The classifiers' directory, and all that they depend on."""
    about = {
        "data": contents(dataset, splits=("train", "validation")),
        "settings": dataclasses.asdict(settings),
    }
    name = f"{file_name(dataset.name)}-{content_key('classifiers', about)}"
    return cache_root(cache_dir) / "classifiers" / name, about


def _are_there(directory: Path, settings: TrainSettings) -> bool:
    """Whether they are trained to their end: then nothing is written any more."""
    path, _ = checkpoint.newest_intact(directory)
    return path is not None and checkpoint.read_step(path) >= settings.num_steps


def _classifier_stage(network: Classifier, dataset: Dataset) -> Stage:
    """All modalities' classifiers side by side: they share no parameter."""
    read = sorted(set(dataset.shapes) - set(dataset.unlabelled))

    def init(rng_key: jax.Array) -> dict[str, Params]:
        keys = jax.random.split(rng_key, len(read))
        return {
            m: network.init(key, jnp.zeros((1, *dataset.shapes[m])))["params"]
            for m, key in zip(read, keys, strict=True)
        }

    def loss(params, frozen, rng_key, batch):
        del frozen
        views, labels = batch
        views = dataset.filled(views)
        keys = dict(zip(read, jax.random.split(rng_key, len(read)), strict=True))
        losses = {
            m: optax.softmax_cross_entropy_with_integer_labels(
                network.apply({"params": params[m]}, views[m], keys[m]).logits, labels
            ).mean()
            for m in read
        }
        return sum(losses.values()), {f"loss/{m}": v for m, v in losses.items()}

    def fetch(arrays: Any, rows: Any):
        return dataset.fetch(arrays["data"], rows), arrays["labels"][indices_of(rows)]

    about: dict[str, Any] = {}
    for name in ("train", "validation"):
        split = dataset.splits[name]
        labels = np.asarray(split.labels, np.int32)
        about[f"{name}_arrays"] = {"data": split.arrays, "labels": labels}
        about |= {f"{name}_size": split.size, f"{name}_read": split.read}
    num_epochs = dataset.splits["train"].num_epochs
    return Stage("classifiers", init, loss, fetch=fetch, num_epochs=num_epochs, **about)


def _test_accuracy(
    predict: Predict, dataset: Dataset, mesh: jax.sharding.Mesh | None
) -> dict[str, float]:
    test = dataset.splits["test"]
    arrays, labels = parallel.put(
        (test.arrays, np.asarray(test.labels)), parallel.replicated(mesh)
    )

    @jax.jit
    def is_right(predict, arrays, labels, rows):
        views = parallel.constrain_batch(dataset.fetch(arrays, rows), mesh)
        predicted = predict(views)
        return {m: predicted[m] == labels[indices_of(rows)] for m in predicted}

    predict = jax.tree_util.Partial(predict)

    def one_batch(_: int, indices: np.ndarray) -> dict[str, jax.Array]:
        rows = parallel.put_batch(test.rows(indices), mesh)
        return is_right(predict, arrays, labels, rows)

    right = map_batches(one_batch, test.size, ACCURACY_BATCH_SIZE)
    return {m: float(hits.mean()) for m, hits in right.items()}
