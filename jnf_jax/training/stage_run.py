"""One stage on its way: its compiled programs, and what is done with them.

``trainer.train`` decides when; these functions advance, validate, check and save.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnf_jax import checkpoint
from jnf_jax.runtime import parallel, processes
from jnf_jax.stage import Stage
from jnf_jax.training import resume, train_step
from jnf_jax.training.compiling import compiler_options, compiler_options_once
from jnf_jax.training.feed import Feed, validation_mesh, validation_rows
from jnf_jax.training.optimizers import TrainSettings, make_optimizer
from jnf_jax.training.progress import MetricsWindow, summarise
from jnf_jax.training.train_step import TrainState


class Programs(NamedTuple):
    """The compiled functions; each is traced at most once a run."""

    init: Callable
    copy: Callable
    step: Callable
    steps: Callable
    validate: Callable
    record_validation: Callable
    all_finite: Callable
    gather: Callable


class Run(NamedTuple):
    """What does not change while a stage trains."""

    stage: Stage
    settings: TrainSettings
    directory: Path
    identity: dict[str, Any]
    mesh: jax.sharding.Mesh | None
    log: Callable[[dict[str, Any]], None]
    programs: Programs

    @property
    def field(self) -> str:
        """Which field of the state is handed on."""
        return train_step.selected_field(self.settings)

    def record(self, event: str, step: int, values: dict[str, Any]) -> None:
        """Logs one flat record; one process of a run does."""
        if processes.is_first():
            self.log({"event": event, "stage": self.stage.name, "step": step, **values})

    def record_metrics(self, event: str, step: int, metrics: dict[str, float]) -> None:
        """Likewise, with the warning that the stage has of its metrics, if any."""
        warning = self.stage.watch(metrics).warning
        told = {"warning": warning} if warning else {}
        self.record(event, step, {**metrics, **told})


def compile_programs(
    stage: Stage, settings: TrainSettings, mesh: jax.sharding.Mesh | None
) -> Programs:
    """Wraps the functions of ``train_step`` in jit; compilation waits for their use.

    Args:
      stage: what to train; captured, so its ``loss`` may be any closure.
      settings: how.
      mesh: where; every result but a state is whole on each of its devices.

    Returns:
      The programs. Those that take a state and return one donate it.
    """
    optimizer = make_optimizer(
        settings, stage.steps_per_epoch(settings.batch_size), stage.groups
    )
    step = train_step.make_step(stage, optimizer, settings, mesh)

    def init(rng_key: jax.Array) -> TrainState:
        return train_step.init_state(rng_key, stage, optimizer, settings)

    whole = parallel.replicated(mesh)
    state = parallel.state_sharding(
        jax.eval_shape(init, jax.random.key(0)), mesh, settings.parameters
    )
    backend = jax.default_backend()
    own_mesh = validation_mesh(stage, settings, mesh)
    validate = train_step.make_validation(stage, own_mesh)

    def compiled(
        function: Callable, *donate: int, to: Any = whole, options=compiler_options
    ) -> Callable:
        return jax.jit(
            function,
            donate_argnums=donate,
            out_shardings=to,
            compiler_options=options(backend),
        )

    return Programs(
        init=compiled(init, to=state, options=compiler_options_once),
        copy=compiled(lambda tree: jax.tree.map(jnp.copy, tree), to=state),
        step=compiled(step, 0, to=(state, whole)),
        steps=compiled(train_step.make_steps(step), 0, to=(state, whole)),
        validate=compiled(validate, to=parallel.replicated(own_mesh)),
        record_validation=compiled(train_step.record_validation, 0, to=state),
        all_finite=compiled(train_step.all_finite),
        gather=compiled(lambda tree: tree),
    )


def restored_state(run: Run) -> tuple[TrainState | None, float, dict[str, Any] | None]:
    """The newest intact state, the seconds spent on it and its position in the data.

    None, 0.0 and None where there is none.
    """
    like = jax.eval_shape(run.programs.init, _init_key(run))
    state, seconds, position = resume.restore_state(
        run.directory,
        like,
        field=run.field,
        identity=run.identity,
        sharding=parallel.state_sharding(like, run.mesh, run.settings.parameters),
    )
    if state is None:
        return None, 0.0, None
    # What was read may share memory with the reader's buffers; a donated state may not.
    return run.programs.copy(state), seconds, position


def new_state(run: Run) -> TrainState:
    """The state before the first step."""
    return run.programs.init(_init_key(run))


def _init_key(run: Run) -> jax.Array:
    # Not the key that steps are folded into: splitting a key may repeat those.
    return train_step.stage_key(run.settings.seed, f"{run.stage.name}/init")


def make_advance(
    run: Run, feed: Feed
) -> Callable[[TrainState, int, int], tuple[TrainState, dict]]:
    """``advance(state, step, count) -> (state, metrics)``: one compiled call.

    A ``count`` of 1 is the step itself, more are a scan: two programs in all, as long
    as ``count`` takes one other value.
    """
    stage, settings = run.stage, run.settings
    rng_key = train_step.stage_key(settings.seed, stage.name)
    frozen, arrays, rng_key = parallel.put(
        (stage.frozen, stage.train_arrays, rng_key), parallel.replicated(run.mesh)
    )

    def advance(state: TrainState, step: int, count: int) -> tuple[TrainState, dict]:
        program = run.programs.step if count == 1 else run.programs.steps
        return program(state, frozen, arrays, feed.take(step, count), rng_key)

    return advance


def make_validate(run: Run) -> Callable[[TrainState, int], TrainState]:
    """``validate(state, step) -> state``: notes and logs the metrics of the split."""
    stage, settings = run.stage, run.settings
    if not stage.validation_size:
        return lambda state, step: state
    mesh = validation_mesh(stage, settings, run.mesh)
    all_rows, num_batches = validation_rows(stage, settings, mesh)
    # The same noise every time: differences between steps are those of parameters.
    rng_key = train_step.stage_key(settings.seed, f"{stage.name}/validation")
    frozen, arrays, rng_keys = parallel.put(
        (
            stage.frozen,
            stage.validation_arrays,
            list(jax.random.split(rng_key, num_batches)),
        ),
        parallel.replicated(mesh),
    )

    def validate(state: TrainState, step: int) -> TrainState:
        judged = state.ema_params if settings.ema_decay else state.params, state.memory
        if mesh != run.mesh:
            judged = parallel.put(judged, parallel.replicated(mesh))
        metrics = jax.device_get(
            [
                run.programs.validate(*judged, frozen, arrays, rows, rng_key)
                for rows, rng_key in zip(all_rows(), rng_keys, strict=True)
            ]
        )
        found = {n: summarise(n, [m[n] for m in metrics]) for n in metrics[0]}
        if not np.isfinite(found["loss"]):
            raise FloatingPointError(
                f"stage {stage.name!r}: the validation loss after step {step} is "
                f"{found['loss']}; {_describe_last_good(run)}"
            )
        run.record_metrics("validation", step, found)
        return run.programs.record_validation(state, np.float32(found["loss"]))

    return validate


def fit(run: Run, state: TrainState) -> tuple[TrainState, float]:
    """``Stage.fit`` in place of the one step: validated and saved as trained ones are.

    Args:
      run: of a stage with ``fit``.
      state: a new one, whose parameters say the shapes and dtypes.

    Returns:
      The state after it, and the seconds that it took.

    Raises:
      ValueError: ``fit`` gave other shapes or dtypes than ``Stage.init``.
      FloatingPointError: a parameter or the validation loss is not finite.
    """
    begin = time.monotonic()
    params = run.stage.fit(train_step.stage_key(run.settings.seed, run.stage.name))
    got, expected = (
        jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)
        for tree in (params, state.params)
    )
    if got != expected:
        raise ValueError(
            f"stage {run.stage.name!r}: `fit` gave {got}, expected {expected}"
        )
    params = jax.device_put(params, parallel.replicated(run.mesh))
    state = state._replace(params=params, step=state.step + 1)
    state = make_validate(run)(state, 1)
    seconds = time.monotonic() - begin
    save_if_finite(run, state, MetricsWindow(0), 1, seconds, None)
    return state, seconds


def check_loss(run: Run, state: TrainState, window: MetricsWindow, step: int) -> None:
    """Raises FloatingPointError if a loss in these steps was not finite."""
    bad = int(state.first_bad_step)
    if bad < 0:
        return
    failure = run.stage.watch(window.largest()).failure
    why = f": {failure}" if failure else ""
    raise FloatingPointError(
        f"stage {run.stage.name!r}: the loss is not finite at step {bad}, found in "
        f"steps {window.first_step} to {step}{why}; {_describe_last_good(run)}"
    )


def _describe_last_good(run: Run) -> str:
    path, _ = checkpoint.newest_intact(run.directory)
    if path is None:
        return "there is no checkpoint before it"
    return f"the last good checkpoint is {path}"


def save_if_finite(
    run: Run,
    state: TrainState,
    window: MetricsWindow,
    step: int,
    seconds: float,
    position: dict[str, Any] | None,
) -> None:
    """Saves, unless something in the state is not finite.

    Args:
      run: its directory and identity.
      state: after ``step`` steps.
      window: metrics since somebody looked for NaN; for the message.
      step: number of steps taken.
      seconds: wall time of training so far.
      position: ``Feed.position()`` now.

    Raises:
      FloatingPointError: a loss in the window or a parameter is not finite.
      OSError: the disk is full, say; see ``checkpoint.save``.
    """
    check_loss(run, state, window, step)
    # A gradient can be NaN where the loss is not.
    if not run.programs.all_finite((state.params, state.ema_params)):
        raise FloatingPointError(
            f"stage {run.stage.name!r}: a parameter is not finite, found in steps "
            f"{window.first_step} to {step}; {_describe_last_good(run)}"
        )
    path = resume.save_state(
        run.directory,
        state,
        field=run.field,
        seconds=seconds,
        position=position,
        identity=run.identity,
        keep=run.settings.keep_checkpoints,
    )
    identifier = checkpoint.checkpoint_id(path)
    run.record("checkpoint", step, {"checkpoint_id": identifier})
