"""What cannot work is told before the first step; to find it out compiles nothing."""

import dataclasses

import numpy as np
import pytest
from tiny import tiny_config

from jnf_jax.experiments import dry_run, stages
from jnf_jax.experiments.experiment import open_experiment


@pytest.fixture(scope="module")
def setup():
    return open_experiment(tiny_config())


def with_dataset(setup, **changes):
    return setup._replace(dataset=dataclasses.replace(setup.dataset, **changes))


def test_a_run_that_can_work_passes_and_nothing_is_compiled(
    setup, tmp_path, num_compiled
):
    before = num_compiled()
    dry_run.check(setup, tmp_path, with_evaluation=True)
    assert num_compiled() == before


def test_a_loss_is_tried_with_the_batch_that_it_will_get(setup, tmp_path):
    seen = {}

    def loss(params, frozen, rng_key, batch, *memory):
        seen.update({m: x.shape for m, x in batch.views.items()})
        raise ValueError("no such batch")

    joint = dataclasses.replace(setup.method.stages[0], loss=loss)
    method = dataclasses.replace(setup.method, stages=(joint,))
    with pytest.raises(ValueError, match="no such batch"):
        dry_run.check(setup._replace(method=method), tmp_path, with_evaluation=False)
    assert seen == dict.fromkeys(("m0", "m1", "m2"), (16, 8, 8, 3))


def test_a_single_view_is_refused(setup, tmp_path):
    alone = with_dataset(setup, shapes={"m0": (8, 8, 3)})
    with pytest.raises(ValueError, match=r"has \['m0'\] alone, expected two or more"):
        dry_run.check(alone, tmp_path, with_evaluation=False)


def test_views_of_another_shape_than_declared_are_refused(setup, tmp_path):
    def fetch(arrays, rows):
        views = setup.dataset.fetch(arrays, rows)
        return views | {"m1": views["m1"][:, 1:]}

    other = with_dataset(setup, fetch=fetch)
    with pytest.raises(ValueError, match=r"gives views .*'m1': \(7, 8, 3\).*expected"):
        dry_run.check(other, tmp_path, with_evaluation=False)


def test_a_view_that_nobody_can_show_is_refused(setup):
    blank = {"m0": np.zeros((2, 8, 8, 2))}
    with pytest.raises(ValueError, match=r"'m0' have the shape \(2, 8, 8, 2\), expect"):
        dry_run._check_pictures(setup.dataset, blank)


def test_a_cache_that_would_not_fit_is_refused(setup, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "MAX_CACHED", 1_000)
    with pytest.raises(ValueError, match="1,258 tuples, expected at most 1,000; use"):
        dry_run.check(setup, tmp_path, with_evaluation=False)
