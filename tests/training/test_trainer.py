"""The trainer: exact resuming, guards, selection, one trace; on a dense toy stage."""

import dataclasses
import functools
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnf_jax import checkpoint
from jnf_jax.training import batches, stage_run, train_step, trainer
from jnf_jax.training.optimizers import make_optimizer
from jnf_jax.training.progress import MetricsWindow
from jnf_jax.training.trainer import (
    Stage,
    TrainSettings,
    choose_steps_per_dispatch,
    make_plan,
    train,
)

TRAIN_SIZE, VALIDATION_SIZE = 70, 21
SETTINGS = TrainSettings(
    num_steps=60,
    batch_size=16,
    seed=3,
    learning_rate=0.05,
    checkpoint_every=20,
    evaluate_every=15,
    log_every=10,
)


class Killed(BaseException):
    """Stands for a kill: nothing in the trainer may catch it."""


def make_stage(loss=None, **changes):
    """Linear regression with noise in the loss; its optimum has loss 0.01."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(TRAIN_SIZE + VALIDATION_SIZE, 4)).astype(np.float32)
    targets = inputs @ rng.normal(size=(4, 3)).astype(np.float32)
    arrays = {"x": inputs, "y": targets}

    def default_loss(params, frozen, rng_key, batch):
        noise = 0.1 * jax.random.normal(rng_key, batch["y"].shape)
        error = batch["x"] @ params["layer"]["w"] - batch["y"] * frozen["scale"]
        mse = jnp.mean((error + noise) ** 2)
        return mse, {"error": jnp.mean(jnp.abs(error))}

    stage = Stage(
        name="toy",
        init=lambda rng_key: {"layer": {"w": jax.random.normal(rng_key, (4, 3))}},
        loss=loss or default_loss,
        fetch=lambda arrays, indices: jax.tree.map(lambda x: x[indices], arrays),
        train_arrays=jax.tree.map(lambda x: x[:TRAIN_SIZE], arrays),
        train_size=TRAIN_SIZE,
        validation_arrays=jax.tree.map(lambda x: x[TRAIN_SIZE:], arrays),
        validation_size=VALIDATION_SIZE,
        frozen={"scale": jnp.ones(())},
        has_convolutions=False,
    )
    return dataclasses.replace(stage, **changes)


STAGE = make_stage()


@pytest.fixture(autouse=True, scope="module")
def compile_once():
    """Runs of one stage with the same settings share their programs, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        cached = functools.lru_cache(stage_run.compile_programs)
        patch.setattr(stage_run, "compile_programs", cached)
        yield


def run(directory, stage=None, log=lambda record: None, **changes):
    return train(
        stage or STAGE,
        dataclasses.replace(SETTINGS, **changes),
        directory=directory,
        metadata={"dataset": "toy"},
        log=log,
        show_progress=False,
    )


def at(event, step, action):
    """A log that acts when it is given this event after this step."""

    def log(record):
        if record["event"] == event and record["step"] == step:
            action()

    return log


def kill():
    raise Killed


def assert_same_bits(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def final_state(directory, settings=SETTINGS, stage=None):
    """The train state in the newest checkpoint, by name, without its structure."""
    path, _ = checkpoint.newest_intact(directory)
    stage = stage or STAGE
    optimizer = make_optimizer(settings, TRAIN_SIZE // settings.batch_size)
    like = jax.eval_shape(
        lambda rng_key: train_step.init_state(rng_key, stage, optimizer, settings),
        jax.random.key(0),
    )
    like = like._replace(**{train_step.selected_field(settings): None})
    return checkpoint.restore_train_state(path, like)


def test_reaches_the_optimum_and_reports_it(tmp_path):
    records = []
    result = run(tmp_path, log=records.append, num_steps=300)
    assert result.step == 300 and result.resumed_from == 0
    # The optimum is 0.1² of noise; 21 × 3 values give it to within 18 % (one sd).
    np.testing.assert_allclose(result.validation_loss, 0.01, rtol=0.6)
    train_records = [r for r in records if r["event"] == "train"]
    assert [r["step"] for r in train_records] == list(range(10, 301, 10))
    assert all(r["stage"] == "toy" and r["error"] > 0 for r in train_records)
    assert all(r["samples_per_second"] > 0 for r in train_records)
    assert records[0] == {"event": "start", "stage": "toy", "step": 0}
    identifiers = [r["checkpoint_id"] for r in records if r["event"] == "checkpoint"]
    assert identifiers[-1] == result.checkpoint_id
    assert len(list(tmp_path.iterdir())) == SETTINGS.keep_checkpoints


VARIANTS = {
    "best": {},
    "last, uneven calls": {
        "select": "last",
        "steps_per_dispatch": 7,
        "checkpoint_every": 13,
        "num_steps": 50,
    },
    "average, one step a call": {
        "select": "last",
        "ema_decay": 0.9,
        "steps_per_dispatch": 1,
    },
    "best average, plateau": {
        "ema_decay": 0.9,
        "schedule": "plateau",
        "plateau_patience_epochs": 1,
    },
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_killed_and_resumed_is_bitwise_the_uninterrupted_run(tmp_path, changes):
    whole = run(tmp_path / "whole", **changes)
    for event, step in (("train", 10), ("train", 30), ("validation", 45)):
        with pytest.raises(Killed):
            run(tmp_path / "parts", log=at(event, step, kill), **changes)
    parts = run(tmp_path / "parts", **changes)
    assert parts.resumed_from > 0
    assert_same_bits(whole.params, parts.params)
    assert whole.validation_loss == parts.validation_loss
    assert whole.checkpoint_id == parts.checkpoint_id
    settings = dataclasses.replace(SETTINGS, **changes)
    states = [final_state(tmp_path / name, settings) for name in ("whole", "parts")]
    assert_same_bits(*states)


def test_memory_goes_from_step_to_step_and_is_resumed_bitwise(tmp_path):
    """A loss that is told how it was called before: its memory is a running sum."""
    seen = []

    def loss(params, frozen, rng_key, batch, total):
        mse, metrics = STAGE.loss(params, frozen, rng_key, batch)
        metrics |= {"before": total}
        return mse, metrics, total + batch["x"][0, 0]

    stage = make_stage(loss=loss, init_memory=lambda rng_key: (jnp.full((), 5.0),))
    changes = {"steps_per_dispatch": 7, "log_every": 1}
    whole = run(tmp_path / "whole", stage, log=seen.append, **changes)
    with pytest.raises(Killed):
        run(tmp_path / "parts", stage, log=at("train", 30, kill), **changes)
    parts = run(tmp_path / "parts", stage, **changes)
    assert parts.resumed_from == 20
    settings = dataclasses.replace(SETTINGS, **changes)
    states = [
        final_state(tmp_path / name, settings, stage) for name in ("whole", "parts")
    ]
    assert_same_bits(*states)
    sums = [r["before"] for r in seen if r["event"] == "train"]
    indices = [
        batches.batch_indices(
            step, 1, name="toy", size=TRAIN_SIZE, batch_size=16, seed=SETTINGS.seed
        )[0]
        for step in range(60)
    ]
    added = [float(STAGE.train_arrays["x"][rows[0], 0]) for rows in indices]
    np.testing.assert_allclose(
        sums, 5 + np.cumsum([0.0, *added])[:60], rtol=1e-4, atol=1e-4
    )
    # Validation reads the memory and leaves it: what follows it shows no gap.
    assert_same_bits(whole.params, parts.params)


def test_a_loss_that_is_not_finite_is_explained_by_its_terms_and_its_batch():
    counts = np.linspace(0, 9_999, 64, dtype=np.float32)[:, None]
    holes = np.where(np.arange(64) == 17, np.nan, 0.5).astype(np.float32)

    def fetch(arrays, rows):
        return {"views": {m: x[rows] for m, x in arrays.items()}, "rows": rows}

    arrays = {"counts": counts, "holes": holes}
    about = dict(fetch=fetch, train_arrays=arrays, train_size=64)
    stage = dataclasses.replace(STAGE, **about)
    settings = dataclasses.replace(SETTINGS, batch_size=64)
    run = stage_run.Run(stage, settings, None, {}, None, None, None)
    window = MetricsWindow(0)
    window.add({"loss": np.inf, "log_likelihood/counts": -np.inf, "kl": 1.0})
    assert stage_run._explain(run, window, 0) == (
        "so are log_likelihood/counts; views/counts goes from 0 to 9999; "
        "views/holes is not finite in row 17 of the training data; "
        "bring values to a scale of about one, as jnf_jax.fit does"
    )


@pytest.mark.usefixtures("hears_interrupts")
@pytest.mark.parametrize(
    ("number", "ends"),
    [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)],
)
def test_a_signal_saves_and_resumes_bitwise(tmp_path, capsys, number, ends):
    before = signal.getsignal(number)
    terminate = at("train", 30, lambda: os.kill(os.getpid(), number))
    with pytest.raises(ends) as stop:
        run(tmp_path / "parts", log=terminate)
    assert getattr(stop.value, "code", 130) == 128 + number
    assert signal.getsignal(number) is before
    assert "stage toy: step 30 of 60 is saved in" in capsys.readouterr().out
    # Saved where it was: 30 is no multiple of checkpoint_every.
    assert checkpoint.read_step(checkpoint.resolve(tmp_path / "parts")) == 30
    parts = run(tmp_path / "parts")
    assert parts.resumed_from == 30
    whole = run(tmp_path / "whole")
    assert_same_bits(whole.params, parts.params)
    assert whole.checkpoint_id == parts.checkpoint_id


@pytest.mark.parametrize("steps_per_dispatch", [1, 10])
def test_progress_shows_the_end_whatever_the_call(tmp_path, capsys, steps_per_dispatch):
    settings = dataclasses.replace(SETTINGS, steps_per_dispatch=steps_per_dispatch)
    train(STAGE, settings, directory=tmp_path, metadata={})
    first, last = capsys.readouterr().err.splitlines()  # too quick for more
    assert first == "stage toy: compiling…"
    assert last.startswith("stage toy: step 60 of 60, loss 0.")
    assert last.endswith(" 0:00 left")


def test_trains_outside_the_main_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert results[0].step == 60


@pytest.mark.parametrize(("seconds", "steps"), [(60.0, [60]), (0.0, [15, 30, 45, 60])])
def test_saves_of_its_own_accord_are_apart(tmp_path, monkeypatch, seconds, steps):
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_SAVES", seconds)
    records = []
    run(tmp_path, log=records.append, checkpoint_every=0)
    saved = [r["step"] for r in records if r["event"] == "checkpoint"]
    assert saved == steps


def test_a_finished_stage_is_read_not_trained(tmp_path):
    first = run(tmp_path)

    def fail(*_):
        raise AssertionError("traced")

    records = []
    again = run(tmp_path, stage=make_stage(fetch=fail), log=records.append)
    assert_same_bits(first.params, again.params)
    assert again.validation_loss == first.validation_loss
    assert again.checkpoint == first.checkpoint
    assert [r["event"] for r in records] == ["start"]


def test_damaged_newest_is_named_and_passed_over(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "parts", log=at("checkpoint", 40, kill))
    newest = checkpoint.resolve(tmp_path / "parts")
    content = (newest / "metadata.json").read_text()
    (newest / "metadata.json").write_text(content[: len(content) // 2])
    with pytest.warns(UserWarning, match="00000040.*resuming from .*00000020"):
        parts = run(tmp_path / "parts")
    assert parts.resumed_from == 20
    assert_same_bits(whole.params, parts.params)


def test_only_damaged_ones_start_again(tmp_path):
    (tmp_path / "00000020.orbax-checkpoint-tmp").mkdir()
    with pytest.warns(UserWarning, match="00000020.*resuming from step 0"):
        assert run(tmp_path).resumed_from == 0


def test_more_steps_continue_a_run_and_the_checkpoint_tells_so(tmp_path):
    def continued(path):
        return checkpoint.read_metadata(path).get("continued")

    starts, finished = [], run(tmp_path)
    log = at("start", 60, lambda: starts.append(60))
    longer = run(tmp_path, log=log, num_steps=70)
    assert finished.step == longer.resumed_from == 60 and starts == [60]
    assert continued(longer.checkpoint) == [{"step": 60, "num_steps": 60}]
    # With a constant rate it ends where one ends that had so many steps from the start.
    assert_same_bits(longer.params, run(tmp_path / "whole", num_steps=70).params)
    assert continued(run(tmp_path / "whole", num_steps=70).checkpoint) is None

    with pytest.raises(ValueError, match="settings.num_steps: checkpoint 70, now 60"):
        run(tmp_path)
    with pytest.raises(Killed):
        run(tmp_path, log=at("checkpoint", 80, kill), num_steps=90)
    told = [{"step": 60, "num_steps": 60}, {"step": 70, "num_steps": 70}]
    records = []
    again = run(tmp_path, log=records.append, num_steps=90)
    assert again.resumed_from == 80 and continued(again.checkpoint) == told
    assert "continued" not in records[0]  # that was told when it began


def test_another_config_is_refused_and_the_differences_listed(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="holds another config") as error:
        run(tmp_path, learning_rate=0.01, num_steps=70)
    assert "settings.learning_rate: checkpoint 0.05, now 0.01" in str(error.value)
    assert "settings.num_steps: checkpoint 60, now 70" in str(error.value)
    with pytest.raises(ValueError, match="config.more: checkpoint 'nothing', now 1"):
        train(
            STAGE,
            SETTINGS,
            directory=tmp_path,
            metadata={"dataset": "toy", "more": 1},
            show_progress=False,
        )
    with pytest.raises(ValueError, match="frozen: checkpoint"):
        run(tmp_path, stage=make_stage(frozen={"scale": jnp.full((), 2.0)}))
    run(tmp_path, keep_checkpoints=5)  # changes no number


def test_a_model_of_other_shape_is_refused(tmp_path):
    run(tmp_path)
    stage = make_stage(
        init=lambda rng_key: {"layer": {"w": jnp.zeros((4, 3)), "b": jnp.zeros(3)}}
    )
    with pytest.raises(ValueError, match=r"\+ layer/b float32\[3\]"):
        run(tmp_path, stage=stage)


def nan_when_small(params, frozen, rng_key, batch):
    """The parabola w², and NaN once |w| < 1/2."""
    w = params["layer"]["w"]
    loss = jnp.mean(w**2)
    return jnp.where(loss < 0.25, jnp.nan, loss), {}


@pytest.mark.parametrize("steps_per_dispatch", [0, 1])
def test_nan_stops_with_the_step_and_leaves_the_last_good(tmp_path, steps_per_dispatch):
    stage = make_stage(
        nan_when_small, init=lambda rng_key: {"layer": {"w": jnp.full((4, 3), 2.0)}}
    )
    changes = {"checkpoint_every": 5, "evaluate_every": 60}
    changes["steps_per_dispatch"] = steps_per_dispatch
    with pytest.raises(FloatingPointError) as error:
        run(tmp_path, stage=stage, **changes)
    # Adam moves w by about 0.05 a step: 1/2 is reached after about 30.
    newest = checkpoint.resolve(tmp_path)
    step = int(str(error.value).split("not finite at step ")[1].split(",")[0])
    assert 25 <= step <= 40
    assert checkpoint.read_step(newest) == step - step % 5
    assert f"last good checkpoint is {newest}" in str(error.value)
    params = checkpoint.restore_params(newest, {"layer": {"w": jnp.zeros((4, 3))}})
    assert bool(train_step.all_finite(params))
    with pytest.raises(FloatingPointError):  # and the same again on resuming
        run(tmp_path, stage=stage, **changes)


def test_nan_gradient_of_a_finite_loss_is_never_saved(tmp_path):
    def loss(params, frozen, rng_key, batch):
        w = params["layer"]["w"]
        return jnp.mean(w**2) + jnp.sqrt(jnp.sum(w - w)), {}

    # One step, so that no later loss can tell.
    changes = {"num_steps": 1, "select": "last", "evaluate_every": 1}
    stage = make_stage(loss, validation_size=0, validation_arrays=None)
    with pytest.raises(FloatingPointError, match="parameter is not finite.*no check"):
        run(tmp_path, stage=stage, **changes)
    assert not list(tmp_path.iterdir())


def test_nan_in_validation_stops(tmp_path):
    stage = make_stage()
    stage.validation_arrays["x"][0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="validation loss after step 15"):
        run(tmp_path, stage=stage)


def test_full_disk_stops_and_leaves_the_last_good(tmp_path, monkeypatch):
    write = checkpoint.store.write_manifest

    def write_manifest(path, step, digest):
        if step == 40:
            raise OSError(28, "No space left on device")
        write(path, step, digest)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.store, "write_manifest", write_manifest)
        with pytest.raises(OSError, match="step 40.*last good one is .*00000020"):
            run(tmp_path / "parts")
    parts = run(tmp_path / "parts")
    assert parts.resumed_from == 20
    assert_same_bits(parts.params, run(tmp_path / "whole").params)


def test_looped_and_unlooped_steps_agree(tmp_path):
    looped = run(tmp_path / "looped", steps_per_dispatch=5)
    unlooped = run(tmp_path / "unlooped", steps_per_dispatch=1)
    for a, b in zip(
        jax.tree.leaves(looped.params), jax.tree.leaves(unlooped.params), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("steps_per_dispatch", [1, 10])
def test_one_trace_for_many_steps_and_frozen_stays(tmp_path, steps_per_dispatch):
    traces = []
    stage = make_stage()

    def loss(*arguments):
        traces.append(1)
        return stage.loss(*arguments)

    frozen = {"scale": jnp.float32(1.7)}
    before = np.asarray(frozen["scale"]).tobytes()
    counted = dataclasses.replace(stage, loss=loss, frozen=frozen)
    run(
        tmp_path,
        stage=counted,
        steps_per_dispatch=steps_per_dispatch,
        checkpoint_every=30,
        evaluate_every=30,
    )
    assert len(traces) == 2  # the step, and validation
    assert np.asarray(frozen["scale"]).tobytes() == before


def test_best_hands_on_the_parameters_of_the_lowest_validation_loss(tmp_path):
    records = []
    stage = make_stage()
    # Far too large a step: the loss jumps about, and the last is not the best.
    changes = {"learning_rate": 1.0, "b1": 0.0, "evaluate_every": 1, "num_steps": 12}
    best = run(tmp_path / "best", stage=stage, log=records.append, **changes)
    losses = {r["step"]: r["loss"] for r in records if r["event"] == "validation"}
    step = min(losses, key=losses.get)
    assert 1 < step < 12
    assert best.validation_loss == pytest.approx(losses[step], rel=1e-6)
    last = run(
        tmp_path / "last",
        stage=stage,
        select="last",
        **(changes | {"num_steps": step}),
    )
    assert_same_bits(best.params, last.params)
    assert last.validation_loss == best.validation_loss


def test_validation_repeats_its_noise_and_sees_each_datum_once(tmp_path):
    def loss(params, frozen, rng_key, batch):
        mean = jnp.mean(batch["number"])
        metrics = {
            "noise": jax.random.normal(rng_key),
            "langevin/first_bad_step": jnp.where(mean > 10, mean, 0.0),
        }
        return mean + 0.0 * params["w"], metrics

    numbers = np.arange(21, dtype=np.float32)
    stage = make_stage(
        loss,
        init=lambda rng_key: {"w": jnp.zeros(())},
        train_arrays={"number": np.zeros(TRAIN_SIZE, np.float32)},
        validation_arrays={"number": numbers},
    )
    records = []
    run(tmp_path, stage=stage, log=records.append)
    validation = [r for r in records if r["event"] == "validation"]
    assert len(validation) == 4 and len({r["noise"] for r in validation}) == 1
    # Batches of at most 16 for 21 data: two of 10, so the last datum is left out.
    assert validation[0]["loss"] == numbers[:20].mean()
    # That of the second batch: no chain of the first diverged.
    assert validation[0]["langevin/first_bad_step"] == numbers[10:20].mean()
    train_noise = {r["noise"] for r in records if r["event"] == "train"}
    assert len(train_noise) == 6


def test_average_follows_its_recursion():
    settings = dataclasses.replace(SETTINGS, ema_decay=0.75)
    stage = make_stage()
    optimizer = make_optimizer(settings, 4)
    state = train_step.init_state(jax.random.key(0), stage, optimizer, settings)
    step = train_step.make_step(stage, optimizer, settings)
    expected = state.params["layer"]["w"]
    for number in range(3):
        indices = jnp.arange(16) + number
        state, _ = step(
            state, stage.frozen, stage.train_arrays, indices, jax.random.key(1)
        )
        expected = 0.75 * expected + 0.25 * state.params["layer"]["w"]
    np.testing.assert_allclose(state.ema_params["layer"]["w"], expected, rtol=1e-6)
    assert int(state.step) == 3


def test_metrics_must_be_scalars(tmp_path):
    def loss(params, frozen, rng_key, batch):
        return jnp.mean(params["layer"]["w"] ** 2), {"each": batch["y"]}

    with pytest.raises(
        ValueError, match="metric 'each' has shape .16, 3., expected a scalar"
    ):
        run(tmp_path, stage=make_stage(loss))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"batch_size": 71}, "`toy.batch_size` is 71, expected <= 70, the"),
        (
            {"batch_size": 0, "optimizer": "sgd"},
            "(?s)`toy.batch_size` is 0.*`toy.optimizer` is",
        ),
        ({"steps_per_dispatch": -1}, "`toy.steps_per_dispatch` is -1, expected >= 0"),
    ],
)
def test_bad_settings(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **changes)


def test_best_needs_validation_data(tmp_path):
    stage = make_stage(validation_size=0, validation_arrays=None)
    with pytest.raises(
        ValueError, match="`toy.select` is 'best', expected 'last' without"
    ):
        run(tmp_path, stage=stage)
    result = run(tmp_path, stage=stage, select="last")
    assert result.validation_loss is None


def test_steps_per_dispatch_is_one_for_convolutions_on_cpu():
    assert choose_steps_per_dispatch("cpu", True) == 1
    assert choose_steps_per_dispatch("cpu", False) == 50
    assert choose_steps_per_dispatch("gpu", True) == 50
    assert choose_steps_per_dispatch("tpu", True) == 50
    assert choose_steps_per_dispatch("cpu", True, 7) == 7
    with pytest.raises(ValueError, match="`requested` is -1"):
        choose_steps_per_dispatch("cpu", True, -1)


def test_plan_takes_two_sizes_of_call_and_meets_every_event():
    settings = dataclasses.replace(
        SETTINGS, num_steps=103, log_every=20, evaluate_every=33, checkpoint_every=50
    )
    plan = make_plan(make_stage(), settings, "gpu")
    assert plan.steps_per_dispatch == 20
    step, met, counts = 0, [], set()
    while step < 103:
        count = plan.next_count(step)
        counts.add(count)
        step += count
        if any(plan.due(step)):
            met.append(step)
    assert counts == {1, 20}
    assert met == [20, 33, 40, 50, 60, 66, 80, 99, 100, 103]
    assert plan.due(103) == (True, True, True)
    assert make_plan(make_stage(has_convolutions=True), settings, "cpu")[-1] == 1
    short = make_plan(make_stage(), TrainSettings(num_steps=3, batch_size=16), "gpu")
    assert short.evaluate_every == short.checkpoint_every == 3


def test_fresh_data_count_their_own_epochs():
    settings = TrainSettings(num_steps=20, batch_size=TRAIN_SIZE // 8)
    for num_epochs, per_epoch in ((1, 8), (2, 4), (100, 1)):
        stage = make_stage(num_epochs=num_epochs)
        assert stage.steps_per_epoch(settings.batch_size) == per_epoch
        assert make_plan(stage, settings, "cpu").evaluate_every == per_epoch


def test_epochs_see_each_datum_at_most_once_and_depend_on_the_step_alone():
    options = {"name": "toy", "size": 70, "batch_size": 16, "seed": 3}
    rows = batches.batch_indices(0, 12, **options)
    for epoch in range(3):
        seen = rows[4 * epoch : 4 * epoch + 4].ravel()
        assert len(set(seen.tolist())) == 64 and 0 <= seen.min() <= seen.max() < 70
    assert (rows[:4] != rows[4:8]).any()
    np.testing.assert_array_equal(batches.batch_indices(5, 6, **options), rows[5:11])
    for change in ({"seed": 4}, {"name": "other"}):
        assert (batches.batch_indices(0, 12, **options | change) != rows).any()
    with pytest.raises(ValueError, match="`toy.batch_size` is 71, expected 1 to 70"):
        batches.batch_indices(0, 1, **options | {"batch_size": 71})


@pytest.mark.parametrize("size, batch_size", [(21, 16), (100, 30), (5, 16), (32, 16)])
def test_validation_batches_are_equal_and_leave_few_out(size, batch_size):
    rows = batches.validation_indices(size, batch_size)
    assert rows.shape[1] <= batch_size
    assert len(set(rows.ravel().tolist())) == rows.size
    assert size - rows.size < len(rows) == -(-size // batch_size)


def test_new_state_owns_every_buffer_so_donation_is_safe():
    programs = stage_run.compile_programs(
        make_stage(), dataclasses.replace(SETTINGS, ema_decay=0.9), None
    )
    state = programs.init(jax.random.key(0))
    for tree in (state, programs.copy(state)):
        pointers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(tree)]
        assert len(set(pointers)) == len(pointers)
