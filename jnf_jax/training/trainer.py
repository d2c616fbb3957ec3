"""One trainer for every stage: resumes by itself, stops at NaN, obeys signals.

    from jnf_jax.training import Stage, TrainSettings, train

The step is pure (``train_step.py``); this file decides when to log, to validate and to
save. The first two, and the order of the data, are functions of the step number, so
that a run that was killed and resumed ends with the same bits as one that was not; when
it is saved changes none of them.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jnf_jax import checkpoint, content_keys
from jnf_jax.checkpoint.key_paths import digest_tree
from jnf_jax.options import faults, identity_of
from jnf_jax.runtime import parallel, processes
from jnf_jax.stage import Stage
from jnf_jax.training import feed, stage_run, stopping
from jnf_jax.training.optimizers import TrainSettings
from jnf_jax.training.progress import Clock, MetricsWindow, Progress
from jnf_jax.training.train_step import TrainState

SECONDS_BETWEEN_SAVES = 60.0
"""At least, where ``checkpoint_every`` is 0: a save takes as long as many steps."""


class TrainResult(NamedTuple):
    """A finished stage, as it is handed on.

    Attributes:
      params: the selected parameters, whole on each device of the mesh.
      step: optimiser steps taken.
      validation_loss: of ``params``: the lowest for select="best", the latest for
        "last", None without validation data.
      checkpoint: directory of the final checkpoint.
      checkpoint_id: see ``checkpoint.checkpoint_id``.
      seconds: wall time of training over all resumed parts, lost work excluded.
      resumed_from: step of the checkpoint that this call started from; 0 is none.
    """

    params: Any
    step: int
    validation_loss: float | None
    checkpoint: Path
    checkpoint_id: str
    seconds: float
    resumed_from: int


def choose_steps_per_dispatch(
    backend: str, has_convolutions: bool, requested: int = 0
) -> int:
    """How many steps one compiled call takes: the one place that decides.

    On CPU the gradient of a convolution inside a loop is 10 to 200 times slower than
    outside (jax-ml/jax#12868), so there convolutional stages take one step a call. A
    positive ``requested`` is obeyed.

    >>> choose_steps_per_dispatch("cpu", True), choose_steps_per_dispatch("gpu", True)
    (1, 50)
    """
    if requested < 0:
        raise ValueError(f"`requested` is {requested}, expected >= 0")
    return requested or (1 if backend == "cpu" and has_convolutions else 50)


def train(
    stage: Stage,
    settings: TrainSettings,
    *,
    directory: Path,
    metadata: dict[str, Any],
    mesh: jax.sharding.Mesh | None = None,
    log: Callable[[dict[str, Any]], None] = lambda record: None,
    show_progress: bool = True,
) -> TrainResult:
    """Trains a stage to its last step, from its newest intact checkpoint if it has one.

    A stage that is already finished is read, not trained; one that is given more steps
    than before goes on, and its checkpoints tell so ("continued").

    Args:
      stage: what to train.
      settings: how.
      directory: of this stage's checkpoints.
      metadata: JSON-able identity of the run (its resolved config); a checkpoint of
        another identity is refused. Stage name, sizes, ``settings`` and the values of
        ``stage.frozen`` are part of it in any case, the number of devices is not.
      mesh: devices to split each batch over; None is the first device. Those of all
        processes of the run, where there are several; each then calls this alike.
      log: called with flat records: "event" ("start", "train", "validation" or
        "checkpoint"), "stage", "step" and scalars; see ``logs.MetricsLog``.
      show_progress: whether to write a progress line to stderr. It and ``log`` are the
        first process's alone.

    Raises:
      ValueError: bad settings or sizes; the directory holds another config; a
        checkpoint does not fit the stage.
      FloatingPointError: the loss or a parameter became NaN or infinite; nothing is
        saved after that.
      OSError: a checkpoint could not be written.
      KeyboardInterrupt, SystemExit: after Ctrl-C; after SIGTERM, with code 143; once
        the state is saved.
    """
    _check(stage, settings, mesh)
    run = stage_run.Run(
        stage=stage,
        settings=settings,
        directory=Path(directory),
        identity=_identify(stage, settings, metadata),
        mesh=mesh,
        log=log,
        programs=stage_run.compile_programs(stage, settings, mesh),
    )
    found = stage_run.restored_state(run)
    state, seconds = found.state, found.seconds
    run = run._replace(continued=found.continued)
    start = 0 if state is None else int(state.step)
    is_to_train, clock = start < settings.num_steps, Clock()
    with contextlib.ExitStack() as stack:
        bar = Progress(
            stage.name,
            settings.num_steps,
            start,
            first="compiling…" if stage.fit is None else "fitting…",
            is_shown=show_progress and processes.is_first() and is_to_train,
            clock=clock,
        )
        stack.callback(bar.close)
        if state is None:
            state = stage_run.new_state(run)
        begun = {"continued": list(run.continued)} if found.is_extended else {}
        run.record("start", start, begun)
        if is_to_train and stage.fit is not None:
            state, seconds = stage_run.fit(run, state)
        elif is_to_train:
            asked_to_stop = stack.enter_context(stopping.catch_signals(mesh))
            rows = feed.open_feed(stage, settings, mesh, start, found.position)
            stack.callback(rows.close)
            state, seconds = _loop(run, rows, state, seconds, clock, bar, asked_to_stop)
    path, _ = checkpoint.newest_intact(run.directory)
    best = settings.select == "best"
    loss = float(state.best_loss if best else state.validation_loss)
    return TrainResult(
        params=run.programs.gather(getattr(state, run.field)),
        step=settings.num_steps,
        validation_loss=loss if stage.validation_size else None,
        checkpoint=path,
        checkpoint_id=checkpoint.checkpoint_id(path),
        seconds=seconds,
        resumed_from=start,
    )


class Plan(NamedTuple):
    """When things happen, in steps; ``evaluate_every`` 0 is never."""

    num_steps: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    steps_per_dispatch: int

    def due(self, step: int) -> tuple[bool, bool, bool]:
        """Whether to log, to validate and to save after ``step`` steps."""
        logging, validating, saving = (
            every > 0 and (step % every == 0 or step == self.num_steps)
            for every in (self.log_every, self.evaluate_every, self.checkpoint_every)
        )
        return logging, validating, saving

    def next_count(self, step: int) -> int:
        """Steps of the next call: a full scan, or 1 where something is due sooner.

        A function of the step alone, so that resuming repeats the same programs.
        """
        periods = (self.log_every, self.evaluate_every, self.checkpoint_every)
        stops = [step - step % every + every for every in periods if every]
        left = min(*stops, self.num_steps) - step
        return self.steps_per_dispatch if left >= self.steps_per_dispatch else 1


def make_plan(stage: Stage, settings: TrainSettings, backend: str) -> Plan:
    """Resolves the zeros of ``settings``; see ``TrainSettings`` for the rules."""
    num_steps, log_every = settings.num_steps, settings.log_every
    per_epoch = stage.steps_per_epoch(settings.batch_size)
    default = min(max(per_epoch, num_steps // 20), num_steps)
    evaluate_every = settings.evaluate_every or default
    checkpoint_every = settings.checkpoint_every or evaluate_every
    evaluate_every = evaluate_every if stage.validation_size else 0
    steps = choose_steps_per_dispatch(
        backend, stage.has_convolutions, settings.steps_per_dispatch
    )
    periods = (num_steps, log_every, checkpoint_every, evaluate_every or num_steps)
    steps = min(steps, *periods)
    return Plan(num_steps, log_every, evaluate_every, checkpoint_every, steps)


def _check(
    stage: Stage, settings: TrainSettings, mesh: jax.sharding.Mesh | None
) -> None:
    field = stage.name
    found = faults(settings, field)
    found += settings.faults_of_fit(field) if stage.fit else []
    if not found and settings.batch_size > stage.train_size:
        found = [
            f"`{field}.batch_size` is {settings.batch_size}, expected <= "
            f"{stage.train_size}, the number of training data"
        ]
    if not found and settings.select == "best" and not stage.validation_size:
        found = [f"`{field}.select` is 'best', expected 'last' without validation data"]
    if found:
        raise ValueError("\n".join(found))
    parallel.check_batch_size(settings.batch_size, mesh)


def _identify(
    stage: Stage, settings: TrainSettings, metadata: dict[str, Any]
) -> dict[str, Any]:
    """The identity that runs which continue one another share, as JSON has it."""
    return content_keys.identity(
        "stage",
        {
            "stage": stage.name,
            "train_size": stage.train_size,
            "validation_size": stage.validation_size,
            "settings": identity_of(settings),
            "frozen": digest_tree({"frozen": stage.frozen}),
            "config": metadata,
        },
    )


def _loop(
    run: stage_run.Run,
    rows: feed.Feed,
    state: TrainState,
    seconds: float,
    clock: Clock,
    bar: Progress,
    asked_to_stop: Callable[..., int],
) -> tuple[TrainState, float]:
    """Takes the remaining steps; returns the last state and the seconds spent."""
    plan = make_plan(run.stage, run.settings, jax.default_backend())
    step, batch_size = int(state.step), run.settings.batch_size
    advance, validate = stage_run.make_advance(run, rows), stage_run.make_validate(run)
    begin, window = time.monotonic() - seconds, MetricsWindow(step, clock)
    running, saved = None, time.monotonic()  # the losses of the latest call; when
    while step < plan.num_steps:
        count = plan.next_count(step)
        state, metrics = advance(state, step, count)
        step += count
        window.add(metrics)
        # Waits for the call before this one: while one runs the next is prepared, yet a
        # signal never waits for a long queue.
        if running is not None:
            bar.update(step - count, float(np.ravel(running)[-1]), batch_size)
        running = metrics["loss"]
        logging, validating, saving = plan.due(step)
        if logging or validating:
            stage_run.check_loss(run, state, window, step)
        if logging:
            run.record_metrics("train", step, window.summary(step, batch_size))
            window = MetricsWindow(step, clock)
        if validating:
            with clock.paused():
                state = validate(state, step)
        number = asked_to_stop() if step < plan.num_steps else 0
        if saving and step < plan.num_steps and not run.settings.checkpoint_every:
            is_late = time.monotonic() - saved >= SECONDS_BETWEEN_SAVES
            saving = processes.any_of_all(is_late)
        if saving or number:
            spent, position = time.monotonic() - begin, rows.position()
            with clock.paused():
                stage_run.save_if_finite(run, state, window, step, spent, position)
            saved = time.monotonic()
        if number:
            processes.say(
                f"stage {run.stage.name}: step {step:,} of {plan.num_steps:,} is saved "
                f"in {run.directory}"
            )
            stopping.stop(number)
    bar.update(step, float(np.ravel(running)[-1]), batch_size)
    if number := asked_to_stop(now=True):  # in the last call, which has saved all
        stopping.stop(number)
    return state, time.monotonic() - begin
