"""Streamed rows: each once an epoch, in shares, resumed exactly, the same numbers."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stored_tuples

from jnf_jax import checkpoint
from jnf_jax.data import record_files
from jnf_jax.data.dataset import indices_of
from jnf_jax.data.placement import place
from jnf_jax.runtime import parallel
from jnf_jax.training import feed, stage_run, train_step
from jnf_jax.training.optimizers import make_optimizer
from jnf_jax.training.trainer import Stage, TrainSettings, train

SETTINGS = TrainSettings(
    num_steps=30,
    batch_size=16,
    seed=3,
    learning_rate=0.05,
    checkpoint_every=7,
    evaluate_every=10,
    log_every=5,
)
PER_EPOCH = 4  # of 70 data, 16 a batch


@pytest.fixture(autouse=True, scope="module")
def compile_once():
    """Runs of one stage with the same settings share their programs, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.lru_cache(stage_run.compile_programs)
        patch.setattr(stage_run, "compile_programs", cached)
        yield


def make_stage(dataset):
    """Tells a picture's mean from its pixels, with noise in the loss."""

    def loss(params, frozen, rng_key, batch):
        views, indices = batch
        x = jnp.concatenate([views[m].reshape(len(indices), -1) for m in "ab"], 1)
        target = x.mean(1) + 0.1 * jax.random.normal(rng_key, (len(indices),))
        return jnp.mean((x @ params["w"] - target) ** 2), {"rows": indices.sum()}

    splits = dataset.splits
    return Stage(
        name="toy",
        init=lambda rng_key: {"w": jax.random.normal(rng_key, (24,))},
        loss=loss,
        fetch=lambda arrays, rows: (dataset.fetch(arrays, rows), indices_of(rows)),
        train_arrays=splits["train"].arrays,
        train_size=splits["train"].size,
        train_read=splits["train"].read,
        validation_arrays=splits["validation"].arrays,
        validation_size=splits["validation"].size,
        validation_read=splits["validation"].read,
        has_convolutions=False,
    )


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """The same data read from files, and on the device."""
    folder = stored_tuples.write(tmp_path_factory.mktemp("records") / "numbered")
    data = record_files.open_dataset(folder)
    return make_stage(data), make_stage(place(data, "device", folder))


def run(stage, directory, log=lambda record: None, **changes):
    return train(
        stage,
        dataclasses.replace(SETTINGS, **changes),
        directory=directory,
        metadata={},
        log=log,
        show_progress=False,
    )


class Killed(BaseException):
    """Stands for a kill: nothing in the trainer may catch it."""


def killed_at(step):
    def log(record):
        if record["event"] == "train" and record["step"] == step:
            raise Killed

    return log


def assert_same_bits(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def taken(stage, num_steps, mesh=None):
    """i32[num_steps, b]: the rows that this process reads, told by the pictures."""
    rows = feed.open_feed(stage, SETTINGS, mesh, 0, None)
    found = []
    for step in range(num_steps):
        batch = rows.take(step, 1)
        shown = np.asarray(batch.views["a"])[:, 0, 0, 0]
        np.testing.assert_array_equal(shown, batch.indices)
        found.append(shown)
    rows.close()
    return np.array(found)


def test_an_epoch_has_each_row_once_and_the_next_another_order(stages):
    rows = taken(stages[0], 3 * PER_EPOCH).reshape(3, -1)
    for epoch in rows:  # 70 = 4 · 16 + 6: another six are left out each time
        assert len(set(epoch.tolist())) == PER_EPOCH * 16
    assert (rows[0] != rows[1]).any() and set(rows[0]) != set(rows[1])
    whole = dataclasses.replace(stages[0], train_size=64)
    assert sorted(taken(whole, 4).ravel().tolist()) == list(range(64))


def test_shares_of_two_processes_are_disjoint_and_cover_the_batch(stages, monkeypatch):
    alone = taken(stages[0], PER_EPOCH)
    shares = []
    monkeypatch.setattr(parallel, "join_batch", lambda local, size, mesh: local)
    for half in (slice(0, 8), slice(8, 16)):
        monkeypatch.setattr(parallel, "own_rows", lambda size, mesh, half=half: half)
        shares.append(taken(stages[0], PER_EPOCH))
    assert shares[0].shape == (PER_EPOCH, 8)
    assert not set(shares[0].ravel().tolist()) & set(shares[1].ravel().tolist())
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), alone)


@pytest.mark.parametrize("steps_per_dispatch", [1, 5])
def test_killed_in_mid_epoch_resumes_bitwise(stages, tmp_path, steps_per_dispatch):
    changes = {"steps_per_dispatch": steps_per_dispatch}
    whole = run(stages[0], tmp_path / "whole", **changes)
    for step in (10, 25):
        with pytest.raises(Killed):
            run(stages[0], tmp_path / "parts", log=killed_at(step), **changes)
        path = checkpoint.resolve(tmp_path / "parts")
        step = checkpoint.read_step(path)
        assert step % PER_EPOCH  # in the middle of an epoch
        assert json.loads((path / "metadata.json").read_text())["metadata"][
            "position"
        ] == {"next_index": step}
    parts = run(stages[0], tmp_path / "parts", **changes)
    assert parts.resumed_from == 21
    assert_same_bits(whole.params, parts.params)
    assert whole.validation_loss == parts.validation_loss
    assert whole.checkpoint_id == parts.checkpoint_id


def test_a_position_that_is_not_the_steps_is_refused(stages, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        run(stages[0], tmp_path, log=killed_at(10))
    restore = stage_run.restored_state

    def other_position(run):
        found = restore(run)
        position = {"next_index": found.position["next_index"] + 1}
        return found._replace(position=position)

    monkeypatch.setattr(stage_run, "restored_state", other_position)
    with pytest.raises(ValueError, match="checkpoint of step 7 holds the position"):
        run(stages[0], tmp_path)


def test_one_step_on_the_same_batch_is_the_same_bit_for_bit(stages):
    optimizer = make_optimizer(SETTINGS, PER_EPOCH)
    results = []
    for stage in stages:
        state = train_step.init_state(jax.random.key(0), stage, optimizer, SETTINGS)
        rows = feed.open_feed(stage, SETTINGS, None, 0, None)
        step = train_step.make_step(stage, optimizer, SETTINGS)
        # Not compiled: XLA fuses and rounds otherwise around a gather.
        results.append(
            step(state, None, stage.train_arrays, rows.take(0, 1), jax.random.key(1))
        )
        rows.close()
    assert_same_bits(*results)


@pytest.mark.parametrize("steps_per_dispatch", [1, 5])
def test_streamed_and_on_the_device_train_alike(stages, tmp_path, steps_per_dispatch):
    logs, results = ([], []), []
    for number, stage in enumerate(stages):
        log = logs[number].append
        place = tmp_path / str(number)
        changes = {"steps_per_dispatch": steps_per_dispatch}
        results.append(run(stage, place, log=log, **changes))
    for one, other in zip(*logs, strict=True):
        assert one["event"] == other["event"] and one["step"] == other["step"]
        if "rows" in one:
            assert one["rows"] == other["rows"]  # the same data, exactly
            np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-5)
    np.testing.assert_allclose(
        results[0].params["w"], results[1].params["w"], rtol=1e-5, atol=1e-6
    )


def test_a_run_goes_on_with_its_data_elsewhere(stages, tmp_path):
    streamed, on_device = stages
    whole = run(streamed, tmp_path / "whole")
    for first, second in (stages, stages[::-1]):
        parts = tmp_path / str(first is streamed)
        with pytest.raises(Killed):
            run(first, parts, log=killed_at(10))
        result = run(second, parts)
        assert result.resumed_from == 7
        np.testing.assert_allclose(
            result.params["w"], whole.params["w"], rtol=1e-5, atol=1e-6
        )


def test_threads_are_stopped_when_training_ends_or_fails(stages, tmp_path, monkeypatch):
    closed = []
    open_stream = feed.open_stream

    def counted(make_batch, num_batches):
        stream = open_stream(make_batch, num_batches)
        if num_batches == SETTINGS.num_steps:
            monkeypatch.setattr(stream, "close", lambda: closed.append(1))
        return stream

    monkeypatch.setattr(feed, "open_stream", counted)
    with pytest.raises(Killed):
        run(stages[0], tmp_path, log=killed_at(10))
    assert len(closed) == 1
    run(stages[0], tmp_path)
    assert len(closed) == 2


def test_a_damaged_row_stops_training_and_is_named(tmp_path):
    folder = stored_tuples.write(tmp_path / "numbered")
    stage = make_stage(record_files.open_dataset(folder))
    victim = folder / "train-00000.array_record"
    content = bytearray(victim.read_bytes())
    content[content.index(stored_tuples.pictures([30])["a"].tobytes())] ^= 1
    victim.write_bytes(content)
    with pytest.raises(ValueError, match="numbered: a row of split 'train' is damaged"):
        run(stage, tmp_path / "run")
